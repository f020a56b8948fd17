import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { claimHome } from "../../coordinator/homeClaim.js";
import { packageRoot } from "../../src/process/toolchain.js";

let folder: string;
const started: ChildProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-claim-"));
});
afterEach(async () => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

/** Says "ready", and on a line claims the home three times at once, with a line for each. */
const program = `
  const { claimHome } = await import(${JSON.stringify(
    pathToFileURL(join(packageRoot(), "dist/coordinator/homeClaim.js")).href,
  )});
  process.stdin.once("data", () => {
    for (let i = 0; i < 3; i += 1)
      claimHome(process.argv[1]).then(
        () => console.log("claimed"),
        (error) => console.log(error.name + ": " + error.message),
      );
  });
  console.log("ready");
  setInterval(() => undefined, 1000);`;

test("of many that start at one moment one has the home, also where one before was killed", async () => {
  const home = join(folder, "home");
  for (let round = 0; round < 4; round += 1) {
    const children = Array.from({ length: 4 }, () =>
      spawn(process.execPath, ["--input-type=module", "-e", program, home], {
        stdio: ["pipe", "pipe", "inherit"],
      }),
    );
    started.push(...children);
    const outcomes: string[] = [];
    const readers = children.map(async ({ stdout }) => {
      const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
      expect(await lines.next()).toMatchObject({ value: "ready" });
      return async (): Promise<void> => {
        for (let i = 0; i < 3; i += 1) {
          const { value } = (await lines.next()) as IteratorResult<string, undefined>;
          outcomes.push(value ?? "nothing");
        }
      };
    });
    const ready = await Promise.all(readers);
    for (const { stdin } of children) stdin.write("go\n");
    await Promise.all(ready.map((read) => read()));
    const refusal = `FailureError: another coordinator runs on ${home}; stop it, or choose another --home (BITFLEET_HOME)`;
    const expected = ["claimed", ...Array.from({ length: 11 }, () => refusal)];
    expect(outcomes.toSorted(), `round ${round}`).toEqual(expected.toSorted());
    for (const child of children) {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    }
  }
}, 60_000);

test("a home is free again once its holder lets go, also under a long path", async () => {
  const home = join(folder, "x".repeat(90), "y".repeat(90));
  const claim = await claimHome(home);
  await expect(claimHome(home)).rejects.toThrow(/^another coordinator runs on/);
  await claim.release();
  const next = await claimHome(home);
  await next.release();
});

test("a home that cannot be made is refused in a sentence that names it and the setting", async () => {
  const file = join(folder, "file");
  await writeFile(file, "");
  await expect(claimHome(join(file, "home"))).rejects.toThrow(
    `the state folder ${join(file, "home")} cannot be used: a part of the path is no folder (${join(file, "home")}); BITFLEET_HOME or --home names another`,
  );
  await mkdir(join(folder, "home"));
  await writeFile(join(folder, "home", "claims"), "");
  await expect(claimHome(join(folder, "home"))).rejects.toThrow(/^cannot claim .*home/);
});
