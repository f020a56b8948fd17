/**
 * The tokens file: names and roles with the SHA-256 of each token. A token of ours is 256 random bits, so there is no list of
 * likely ones to hash, and salt or a slow hash would guard against nothing.
 */
import { createHash } from "node:crypto";

import { ConfigError } from "../job/problem.js";
import { isWorkerPattern, roles, type Caller } from "../job/roles.js";

export interface TokenEntry extends Caller {
  readonly digest: Buffer;
}

const tokensMax = 1000;

export function tokenDigest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

/** ConfigError: names the file, the entry and what it must be. */
export function parseTokens(text: string, file: string): readonly TokenEntry[] {
  const refuse = (what: string): never => {
    throw new ConfigError(`${file}: ${what}`);
  };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refuse('must be JSON: {"tokens": [{"name": …, "role": …, "sha256": …}]}');
  }
  const list = field(value, "tokens");
  if (!Array.isArray(list)) return refuse('"tokens" must be a list');
  if (list.length > tokensMax)
    return refuse(`has ${list.length} tokens, but at most ${tokensMax} are read`);
  const names = new Set<string>();
  return list.map((entry: unknown, i) => {
    const [name, role, sha256, workers] = ["name", "role", "sha256", "workers"].map((key) =>
      field(entry, key),
    );
    if (!isTokenName(name))
      return refuse(`tokens[${i}].name must be 1 to 63 lower-case letters, digits or hyphens`);
    if (names.has(name)) return refuse(`the name "${name}" is there twice`);
    names.add(name);
    const known = roles.find((one) => one === role);
    if (known === undefined)
      return refuse(`the role of "${name}" must be one of ${roles.join(", ")}`);
    if (typeof sha256 !== "string" || !/^[0-9a-f]{64}$/.test(sha256))
      return refuse(`sha256 of "${name}" must be 64 hexadecimal digits in lower case`);
    const digest = Buffer.from(sha256, "hex");
    if (workers === undefined) return { name, role: known, digest };
    const list = Array.isArray(workers) ? workers.filter(isWorkerPattern) : [];
    if (
      known !== "worker" ||
      list.length === 0 ||
      !Array.isArray(workers) ||
      list.length < workers.length
    )
      return refuse(
        `workers of "${name}" must be a list of worker ids, or of their beginnings with a *, and its role worker`,
      );
    return { name, role: known, workers: list, digest };
  });
}

export function writeTokens(entries: readonly TokenEntry[]): string {
  const tokens = entries.map(({ digest, ...caller }) => ({
    ...caller,
    sha256: digest.toString("hex"),
  }));
  return `${JSON.stringify({ tokens }, null, 2)}\n`;
}

export function isTokenName(value: unknown): value is string {
  return typeof value === "string" && /^[a-z0-9][a-z0-9-]{0,62}$/.test(value);
}

function field(value: unknown, key: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, key)
    ? (Object.entries(value).find(([name]) => name === key)?.[1] as unknown)
    : undefined;
}
