/** What JetStream holds against a request, in words that say what to do: the one place for all its numbers. */
import { NatsError, type StreamConfig } from "nats";

import { apiCode, apiError } from "./jetstreamStreams.js";
import { natsReason, type NatsTarget } from "./natsConnection.js";

/** Also of a stream whose server could not write: the description tells which. */
export const storeFailed = 10_077;
const tooLargeForStream = 10_054;

const room = "remove jobs that have ended, or give it more";
/** What is not here is told in JetStream's own words. */
const problems: ReadonlyMap<number, string> = new Map([
  [10_002, `the account in NATS has no room left: ${room}`],
  [10_008, "JetStream is not available for the moment: its cluster has no leader"],
  [10_009, "JetStream is not available for the moment: its cluster has no leader"],
  [10_023, `the server has no room left for JetStream: ${room}`],
  [10_027, "the account in NATS may have no more streams: raise its limit of streams"],
  [10_028, `the server has no memory left for JetStream: ${room}`],
  [10_039, "JetStream is not enabled for the account: enable it there"],
  [10_047, `the server has no storage left for JetStream: ${room}`],
  [
    10_076,
    "JetStream is not enabled: a server that has met a full disk needs room there, and to be started again",
  ],
  [10_118, "the stream is offline: the servers of NATS that hold it are away, or older"],
  [10_122, "the account in NATS lets no stream take so many bytes: raise its max_stream_bytes"],
]);

/** Undefined where NATS has said nothing, or nothing of JetStream's. `stream`: what it may take, where that is known. */
export function jetstreamProblem(
  error: unknown,
  stream: Pick<StreamConfig, "name"> & Partial<StreamConfig>,
  url: string,
): string | undefined {
  const said = apiError(error);
  if (said === undefined) return undefined;
  const { err_code: code = 0, description } = said;
  const why =
    code === storeFailed
      ? full(description, stream)
      : (problems.get(code) ?? `${description} (JetStream's error ${code})`);
  return `NATS at ${url} does not store in ${stream.name}: ${why}`;
}

function full(
  description: string,
  { max_bytes: bytes = -1, max_msgs: messages = -1 }: Partial<StreamConfig>,
): string {
  if (description.includes("maximum bytes")) return isFull("bytes", bytes, "max_bytes");
  if (description.includes("maximum messages")) return isFull("messages", messages, "max_msgs");
  return `${description}; a server that has met a full disk needs room there, and to be started again`;
}

function isFull(what: string, most: number, setting: string): string {
  const bound = most > 0 ? ` its ${setting} of ${most} ${what}` : ` its ${setting}`;
  return `the stream is full, by${bound}: remove jobs that have ended, or raise ${setting}`;
}

/** Why a request came to nothing to which JetStream has said nothing. */
export function noAnswer(error: unknown, target: NatsTarget): string {
  const reason = natsReason(error, target);
  if (isDenied(error)) return reason;
  const hint = "; a server that has met a full disk has to be started again";
  const isTimeout = error instanceof NatsError && error.code === "TIMEOUT";
  return `NATS does not answer: ${reason}${isTimeout ? hint : ""}`;
}

/** Where no repetition helps: why. */
export function hopeless(error: unknown, bytes: number): string | undefined {
  const code = error instanceof NatsError ? error.code : "";
  return code === "MAX_PAYLOAD_EXCEEDED" || apiCode(error) === tooLargeForStream
    ? `NATS takes no message of ${bytes} bytes`
    : undefined;
}

export function isDenied(error: unknown): error is NatsError {
  return error instanceof NatsError && error.permissionContext !== undefined;
}
