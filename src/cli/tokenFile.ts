import { randomBytes } from "node:crypto";
import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { FailureError } from "../job/problem.js";

const tokenBytes = 32;

/** Makes a token that only this user can read; one that is there stays. Returns whether it was made. */
export async function makeTokenFile(file: string): Promise<boolean> {
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const handle = await open(file, "wx", 0o600);
    try {
      await handle.writeFile(`${randomBytes(tokenBytes).toString("base64url")}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    const reason = error instanceof Error ? error.message : String(error);
    throw new FailureError(`cannot write the token file ${file}: ${reason}`, { cause: error });
  }
}
