/** What a NATS server has to be, for records and logs to be kept there. */
import type { NatsConnection } from "nats";

import { recordBytesMax } from "../job/limits.js";
import { FailureError } from "../job/problem.js";

/** Batched direct reads came with this version. */
const serverVersionMin = "2.11.0";
/** A record, and the headers that it travels with. */
const payloadMin = recordBytesMax + 1024;

export function checkVersion(connection: NatsConnection, url: string): void {
  const version = connection.info?.version ?? "0.0.0";
  if (version.localeCompare(serverVersionMin, "en", { numeric: true }) < 0)
    throw new FailureError(
      `NATS at ${url} is ${version}, but at least ${serverVersionMin} is needed`,
    );
}

/** Found only with the first record that is too large, it would stop all of them. */
export function checkPayload(connection: NatsConnection, url: string): void {
  const most = connection.info?.max_payload ?? 0;
  if (most < payloadMin)
    throw new FailureError(
      `NATS at ${url} lets messages of ${most} bytes through, but at least ${payloadMin} are needed for the records of jobs: raise its max_payload`,
    );
}
