import { randomBytes } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { FailureError, codeOf } from "../job/problem.js";
import { fileProblem } from "../process/fileProblem.js";

const tokenBytes = 32;

export function newToken(): string {
  return randomBytes(tokenBytes).toString("base64url");
}

/** Makes a token that only this user can read; one that is there stays. Returns whether it was made. */
export async function makeTokenFile(file: string): Promise<boolean> {
  const refuse = (error: unknown): never => {
    const reason = fileProblem(error);
    throw new FailureError(`cannot write the token file ${file}: ${reason}`, { cause: error });
  };
  await mkdir(dirname(file), { recursive: true, mode: 0o700 }).catch(refuse);
  try {
    await writeFile(file, `${newToken()}\n`, { flag: "wx", mode: 0o600, flush: true });
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    return refuse(error);
  }
}
