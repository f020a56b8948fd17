import { quote } from "../job/cutText.js";
import { ConfigError } from "../job/problem.js";

/** Where a store in S3 is. Its credentials are never part of an address. */
export interface S3Address {
  readonly bucket: string;
  /** Before every name, without a slash at its ends; empty for the whole bucket. */
  readonly prefix: string;
  /** http(s)://HOST:PORT/PATH of a server that is not Amazon's; the path may be missing. */
  readonly endpoint: string | undefined;
  readonly region: string;
}

const regionDefault = "us-east-1";
const scheme = "s3://";

export function isS3(address: string): boolean {
  return address.startsWith(scheme);
}

/**
 * Reads `s3://BUCKET/PREFIX?endpoint=URL&region=REGION`, of which everything after the bucket may be missing.
 * ConfigError names the setting.
 */
export function parseS3Address(text: string, setting: string): S3Address {
  const refuse = (why: string): never => {
    throw new ConfigError(`${setting} is ${quote(text, 200)}, but ${why}`);
  };
  const [, bucket = "", rawPrefix = "", query = ""] =
    /^s3:\/\/([^/?]*)\/?([^?]*)\??(.*)$/.exec(text) ?? refuse("must be s3://BUCKET/PREFIX");
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    refuse("its bucket must be 3 to 63 lower-case letters, digits, dots and hyphens");
  const prefix = rawPrefix.replace(/\/$/, "");
  if (
    prefix !== "" &&
    !/^[A-Za-z0-9_=-][A-Za-z0-9._=-]*(\/[A-Za-z0-9_=-][A-Za-z0-9._=-]*){0,7}$/.test(prefix)
  )
    refuse("its prefix must be up to 8 parts of letters, digits, dots, _, = and -, separated by /");
  const parameters = new URLSearchParams(query);
  const endpoint = parameters.get("endpoint") ?? undefined;
  if (endpoint !== undefined) checkEndpoint(endpoint, setting);
  const region = parameters.get("region") ?? regionDefault;
  checkRegion(region, setting);
  return { bucket, prefix, endpoint, region };
}

/** The one text that says all of it, as the coordinator tells it to workers. */
export function formatS3Address({ bucket, prefix, endpoint, region }: S3Address): string {
  const query = new URLSearchParams({ ...(endpoint !== undefined && { endpoint }), region });
  return `${scheme}${bucket}${prefix === "" ? "" : `/${prefix}`}?${query.toString()}`;
}

/** The address with this machine's endpoint and region in it. A folder stays as it is. */
export function storeAddress(
  address: string,
  variables: Readonly<Record<string, string | undefined>>,
): string {
  if (!isS3(address)) return address;
  const parsed = parseS3Address(address, "BITFLEET_STORE");
  const endpoint = filled(variables["BITFLEET_S3_ENDPOINT"]);
  const region = filled(variables["BITFLEET_S3_REGION"]);
  if (endpoint !== undefined) checkEndpoint(endpoint, "BITFLEET_S3_ENDPOINT");
  if (region !== undefined) checkRegion(region, "BITFLEET_S3_REGION");
  return formatS3Address({
    ...parsed,
    endpoint: endpoint ?? parsed.endpoint,
    region: region ?? parsed.region,
  });
}

const endpointPattern = /^https?:\/\/[A-Za-z0-9.:[\]_-]+(\/[A-Za-z0-9._~-]+){0,8}\/?$/;

/** Some servers have S3 below a path. */
function checkEndpoint(value: string, setting: string): void {
  if (endpointPattern.test(value) && !/\/\.{1,2}(\/|$)/.test(value) && URL.canParse(value)) return;
  throw new ConfigError(
    `${setting} is "${value}", but must be http://HOST:PORT or https://HOST, with a path behind it where the server has one`,
  );
}

/** Not every server's are Amazon's: some have capitals and underscores. */
function checkRegion(value: string, setting: string): void {
  if (/^[A-Za-z0-9_-]{1,40}$/.test(value)) return;
  throw new ConfigError(`${setting} is "${value}", but must be a region such as ${regionDefault}`);
}

function filled(value: string | undefined): string | undefined {
  return value === "" ? undefined : value;
}
