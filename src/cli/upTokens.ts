/** The tokens of `bitfleet up`, where others can reach it: an admin's for who starts it, and a worker's for the machines that join. */
import { join, resolve } from "node:path";
import { isLoopback } from "../process/address.js";
import { readTokenFile, type Environment } from "../process/environment.js";
import { tokenDigest } from "../process/tokensFile.js";
import { makeTokenFile } from "./tokenFile.js";
import { editTokens } from "./tokensEdit.js";

export interface UpTokens {
  readonly tokenFile: string | undefined;
  readonly tokensFile: string | undefined;
  /** undefined: no token is asked for, or all of them are somebody else's to make. */
  readonly workerTokenFile: string | undefined;
}

const workerName = "worker";

/** As given; what is missing is made in the state folder, where others can reach us. `say` is told of files that are new. */
export async function ensureTokens(
  {
    host,
    home,
    tokenFile,
    tokensFile,
  }: Pick<Environment, "host" | "home" | "tokenFile" | "tokensFile">,
  say: (line: string) => void,
): Promise<UpTokens> {
  const given = {
    tokenFile: tokenFile === undefined ? undefined : resolve(tokenFile),
    tokensFile: tokensFile === undefined ? undefined : resolve(tokensFile),
  };
  if (isLoopback(host)) return { ...given, workerTokenFile: undefined };
  const admin = given.tokenFile ?? join(home, "token");
  if (given.tokenFile === undefined && (await makeTokenFile(admin)))
    say(`made a token for this fleet's admin in ${admin}`);
  if (given.tokensFile !== undefined)
    return { ...given, tokenFile: admin, workerTokenFile: undefined };
  const workerTokenFile = join(home, "worker-token");
  const known = join(home, "tokens.json");
  if (await makeTokenFile(workerTokenFile)) say(`made a token for workers in ${workerTokenFile}`);
  const digest = tokenDigest(readTokenFile(workerTokenFile).token);
  await editTokens(known, (entries) => [
    ...entries.filter(({ name }) => name !== workerName),
    { name: workerName, role: "worker", digest },
  ]);
  return { tokenFile: admin, tokensFile: known, workerTokenFile };
}
