/**
 * Holds a state folder for this process: two nats-servers on one folder would ruin each other's files.
 *
 * A claim is a numbered socket in the folder `claims`, which ends with its process, however that ended. It is listened on before it
 * gets its number by a link, which only one process can make: a claim that is there has a holder or had one. Whoever finds the
 * highest without a holder takes the next number. The highest is never removed, so nobody is ever on an empty folder.
 */
import { randomUUID } from "node:crypto";
import { link, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";

import { FailureError, codeOf, reasonOf } from "../src/job/problem.js";
import { isLive, liveSocket } from "../src/process/liveSocket.js";
import { makeStateFolder } from "../src/process/stateFolder.js";

/** FailureError: another coordinator runs on the folder, or it cannot be written. */
export async function claimHome(home: string): Promise<{ release(): Promise<void> }> {
  await makeStateFolder(home);
  const folder = join(home, "claims");
  const own = `.${randomUUID()}`;
  const server = await mkdir(folder, { recursive: true, mode: 0o700 })
    .then(() => liveSocket(folder, own))
    .catch((error: unknown) => {
      throw new FailureError(`cannot claim ${home} for this coordinator: ${reasonOf(error)}`);
    });
  const release = async (): Promise<void> => {
    await new Promise((resolve) => server.close(resolve));
    await rm(join(folder, own), { force: true });
  };
  try {
    await takeNumber(home, folder, own);
    // The number stays; the name that the server was made under is of no more use.
    await rm(join(folder, own), { force: true });
  } catch (error) {
    await release();
    throw error;
  }
  return { release };
}

async function takeNumber(home: string, folder: string, own: string): Promise<void> {
  for (;;) {
    const highest = Math.max(0, ...(await numbers(folder)));
    if (highest > 0 && (await isLive(folder, String(highest)))) throw taken(home);
    const number = highest + 1;
    try {
      await link(join(folder, own), join(folder, String(number)));
    } catch (error) {
      if (codeOf(error) === "EEXIST") continue;
      throw new FailureError(`cannot claim ${home} for this coordinator: ${reasonOf(error)}`);
    }
    // Others may have come and gone since we looked, and a claim of theirs be above ours.
    const found = await numbers(folder);
    if (found.some((other) => other > number)) continue;
    for (const other of found)
      if (other < number - 1) await rm(join(folder, String(other)), { force: true });
    return;
  }
}

async function numbers(folder: string): Promise<readonly number[]> {
  const names = await readdir(folder);
  return names.filter((name) => /^[1-9]\d{0,14}$/.test(name)).map(Number);
}

function taken(home: string): FailureError {
  return new FailureError(
    `another coordinator runs on ${home}; stop it, or choose another --home (BITFLEET_HOME)`,
  );
}
