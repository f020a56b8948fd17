/** Problems <-> gRPC statuses. A sentence made for people crosses the wire; any other error stays here. */
import { status, type ServiceError, type StatusObject } from "@grpc/grpc-js";
import { cutEncoded } from "../job/cutText.js";
import { ConfigError, FailureError, WireError, NotFoundError } from "../job/problem.js";

/** Bytes of a sentence as they stand percent-encoded in a header: the C core of gRPC takes 8 KiB of headers together. */
const detailsBytesMax = 4096;

export interface CallStatus {
  readonly code: status;
  readonly details: string;
}

/** The sentence as a header holds it. grpc-js itself ends the process over half a surrogate pair, and bounds nothing. */
export function sentenceOf(details: string): string {
  return cutEncoded(details, detailsBytesMax);
}

/** What a client is told of an error. */
export function toStatus(error: unknown): CallStatus {
  if (error instanceof NotFoundError) return sentence(status.NOT_FOUND, error);
  if (error instanceof ConfigError) return sentence(status.INVALID_ARGUMENT, error);
  if (error instanceof WireError) return sentence(status.INVALID_ARGUMENT, error);
  if (error instanceof FailureError) return sentence(status.FAILED_PRECONDITION, error);
  return { code: status.INTERNAL, details: "the coordinator had an internal error; see its log" };
}

export function isInternal(error: unknown): boolean {
  return toStatus(error).code === status.INTERNAL;
}

function sentence(code: status, error: Error): CallStatus {
  return { code, details: error.message };
}

/** The connection, not the request, is at fault: the same call may succeed later. */
export class UnreachableError extends FailureError {}

/** What a status means to the caller of `address`. `trouble`: why it cannot be reached, where that is known. */
export function fromStatus(
  failure: StatusObject | ServiceError,
  address: string,
  trouble?: string,
): Error {
  const { code, details } = failure;
  switch (code) {
    case status.NOT_FOUND:
      return new NotFoundError(details);
    case status.INVALID_ARGUMENT:
      return new ConfigError(details);
    case status.FAILED_PRECONDITION:
      return new FailureError(details);
    case status.UNAUTHENTICATED:
      return new FailureError(`the coordinator at ${address} refused the token: ${details}`);
    case status.PERMISSION_DENIED:
      return new FailureError(`the coordinator at ${address} refused: ${details}`);
    case status.UNAVAILABLE:
      return new UnreachableError(unavailable(details, address, trouble));
    case status.DEADLINE_EXCEEDED:
      return new UnreachableError(`the coordinator at ${address} did not answer in time`);
    case status.CANCELLED:
      return new UnreachableError(`the call to ${address} was cut off`);
    case status.UNIMPLEMENTED:
      return new FailureError(`${address} is no Bitfleet coordinator, or one of another version`);
    case status.RESOURCE_EXHAUSTED:
      if (details.startsWith(busyPrefix))
        return new UnreachableError(`the coordinator at ${address} is ${details}`);
      return new FailureError(`a message to or from ${address} is too large: ${details}`);
    default:
      return new FailureError(`the coordinator at ${address} failed: ${details}`);
  }
}

/** What went wrong in a call, as a sentence. */
export function problem(error: unknown, address: string, trouble?: string): Error {
  if (error instanceof WireError) {
    return new FailureError(`the coordinator at ${address} sent ${error.message}`);
  }
  if (isServiceError(error)) return fromStatus(error, address, trouble);
  return error instanceof Error ? error : new FailureError(String(error));
}

/** grpc-js has no class for its errors. */
function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error;
}

/** Whether another attempt of a worker would end alike. `greeted`: the coordinator has accepted its hello. */
export function isRefusal(code: status, greeted: boolean): boolean {
  const permanent: readonly status[] = [
    status.UNAUTHENTICATED,
    status.PERMISSION_DENIED,
    status.UNIMPLEMENTED,
  ];
  return permanent.includes(code) || (code === status.INVALID_ARGUMENT && !greeted);
}

/** grpc-js's own texts hold addresses and internals; ours ("shutting down") are told. */
function unavailable(details: string, address: string, trouble?: string): string {
  if (details.startsWith(leavingPrefix))
    return `the coordinator at ${address} ${details.slice(leavingPrefix.length)}`;
  const why = trouble ?? connectionTrouble(details);
  return `cannot reach the coordinator at ${address}${why === undefined ? "" : `: ${why}`}`;
}

/** Why there was no connection, by what grpc-js says of it; undefined where that tells nothing. */
function connectionTrouble(details: string): string | undefined {
  if (details.includes("ECONNREFUSED")) return nobodyListens;
  if (details.includes("Protocol error"))
    return "what answers there speaks no gRPC: it may be the coordinator's port for HTTP";
  if (details.startsWith("Name resolution failed")) return "there is no such host";
  if (/EHOSTUNREACH|ENETUNREACH/.test(details)) return "there is no way to that host";
  return undefined;
}

/** Also what an advice is given for. */
export const nobodyListens = "nothing listens there";

const leavingPrefix = "coordinator: ";
/** Too many calls at once; the same call may succeed later. */
export const busyPrefix = "busy: ";

/** The server itself goes away. */
export function leaving(reason: string): CallStatus {
  return { code: status.UNAVAILABLE, details: `${leavingPrefix}${reason}` };
}
