import { cut } from "../job/cutText.js";
import { reasonOf } from "../job/problem.js";
import type { S3Address } from "./s3Address.js";

/** Why a request to S3 failed, in a few words for people. Servers name the same trouble differently. */
export function s3Reason(error: unknown, { bucket, endpoint, region }: S3Address): string {
  const name = nameOf(error);
  const status = statusOf(error);
  const server = endpoint ?? `S3 in ${region}`;
  if (name === "NoSuchBucket") return `there is no bucket ${bucket}`;
  if (isRefusedCondition(error)) return "it was replaced meanwhile";
  if (fullNames.has(name) || status === 507) return `${server} has no room left (${name})`;
  if (refusedNames.has(name)) return `${server} refuses the credentials (${name})`;
  if (status === 401 || status === 403) return `${server} does not allow it (${name})`;
  if (name === "CredentialsProviderError")
    return "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or BITFLEET_S3_CREDENTIALS_FILE";
  if (status === 429 || name === "SlowDown" || status === 503)
    return `${server} takes no more requests at the moment (${name})`;
  // First, since the client calls a connection that was cut a timeout as well.
  if (status === undefined && networkCodes.has(codeOf(error)))
    return `${server} cannot be reached (${codeOf(error)})`;
  if (name === "TimeoutError" || name === "AbortError") return `${server} does not answer in time`;
  const message = reasonOf(error);
  return `${server} says ${name}: ${cut(message, 300)}`;
}

export function isMissing(error: unknown): boolean {
  const name = nameOf(error);
  return name === "NoSuchKey" || name === "NotFound";
}

/** It was completed or aborted, or was never begun. */
export function isUnknownUpload(error: unknown): boolean {
  return nameOf(error) === "NoSuchUpload";
}

/** What If-None-Match or If-Match asks for is not so; 409: another one is just being put. */
export function isRefusedCondition(error: unknown): boolean {
  const name = nameOf(error);
  return name === "PreconditionFailed" || name === "ConditionalRequestConflict";
}

const refusedNames = new Set([
  "InvalidAccessKeyId",
  "SignatureDoesNotMatch",
  "ExpiredToken",
  "InvalidClientTokenId",
  "InvalidToken",
  "AuthFailure",
]);

const fullNames = new Set(["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"]);

const networkCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EPIPE",
]);

function nameOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  return "Code" in error && typeof error.Code === "string" ? error.Code : error.name;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : "";
}

export function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("$metadata" in error)) return undefined;
  const metadata = error.$metadata;
  if (typeof metadata !== "object" || metadata === null || !("httpStatusCode" in metadata))
    return undefined;
  return typeof metadata.httpStatusCode === "number" ? metadata.httpStatusCode : undefined;
}
