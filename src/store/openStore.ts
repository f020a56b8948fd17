import { ConfigError } from "../job/problem.js";
import { readSmallFile } from "../process/environment.js";
import type { Variables } from "../process/variables.js";
import { FolderStore } from "./folderStore.js";
import { isS3, parseS3Address, storeAddress } from "./s3Address.js";
import type { S3Credentials } from "./s3Store.js";
import type { ProvableStore } from "./store.js";

/**
 * Opens the store at an address: a folder, or `s3://BUCKET/PREFIX` as `storeAddress` completes it. Credentials
 * are those of this machine and never travel. FailureError: it cannot be opened, with the reason.
 */
export async function openStore(address: string, variables: Variables): Promise<ProvableStore> {
  if (!isS3(address)) return FolderStore.open(address);
  // A worker may reach the server under another name than the coordinator does.
  const complete = storeAddress(address, variables);
  const credentials = credentialsOf(variables);
  // The client would write to stderr that it leaves Node 20 in 2027; its version is ours to choose.
  process.env["AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED"] ??= "true";
  // Loaded only where it is used: the client is as large as all the rest of a worker.
  const { S3Store } = await import("./s3Store.js");
  return S3Store.open(parseS3Address(complete, "BITFLEET_STORE"), { credentials });
}

/** Undefined: the client looks for itself, as for a role of the pod or the instance. */
function credentialsOf(variables: Variables): S3Credentials | undefined {
  const file = filled(variables["BITFLEET_S3_CREDENTIALS_FILE"]);
  if (file !== undefined) return fromFile(file);
  const accessKeyId = filled(variables["AWS_ACCESS_KEY_ID"]);
  const secretAccessKey = filled(variables["AWS_SECRET_ACCESS_KEY"]);
  const sessionToken = filled(variables["AWS_SESSION_TOKEN"]);
  if (accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
}

/** A file in the form that Amazon's tools share. */
function fromFile(path: string): S3Credentials {
  const setting = "BITFLEET_S3_CREDENTIALS_FILE";
  const { text } = readSmallFile(path, setting);
  const value = (key: string): string | undefined =>
    new RegExp(`^\\s*${key}\\s*=\\s*(\\S+)\\s*$`, "m").exec(text)?.[1];
  const accessKeyId = value("aws_access_key_id");
  const secretAccessKey = value("aws_secret_access_key");
  const sessionToken = value("aws_session_token");
  if (accessKeyId === undefined || secretAccessKey === undefined)
    throw new ConfigError(
      `${setting}: ${path} must have lines with aws_access_key_id = ... and aws_secret_access_key = ...`,
    );
  return { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) };
}

function filled(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
