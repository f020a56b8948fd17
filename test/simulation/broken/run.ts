import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brokenCopies } from "./copies.js";

const execute = promisify(execFile);
const script = fileURLToPath(new URL("./one.js", import.meta.url));
const longestMs = 600_000;

/** Simulates every broken copy for up to so many seeds, some at a time; gives how many were not seen. */
export async function runBroken(seeds: number, threads: number): Promise<number> {
  const due = [...brokenCopies.entries()];
  let missed = 0;
  await Promise.all(
    Array.from({ length: threads }, async () => {
      for (let next = due.shift(); next !== undefined; next = due.shift()) {
        const [place, { what }] = next;
        const seen = await runOne(place, seeds);
        if (seen === "") missed += 1;
        console.log(`${seen === "" ? "NOT SEEN" : "seen"}  ${what}${seen && `\n      ${seen}`}`);
      }
    }),
  );
  console.log(`${brokenCopies.length - missed} of ${brokenCopies.length} broken copies are seen`);
  return missed;
}

async function runOne(place: number, seeds: number): Promise<string> {
  const args = [script, String(place), String(seeds)];
  const { stdout } = await execute(process.execPath, args, { timeout: longestMs });
  return stdout.trim();
}
