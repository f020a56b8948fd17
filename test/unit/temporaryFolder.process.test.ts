import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { clearTemporary } from "../../src/process/temporaryFolder.js";
import { packageRoot } from "../../src/process/toolchain.js";

let folder: string;
const started: ChildProcess[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-test-"));
});
afterEach(async () => {
  vi.restoreAllMocks();
  for (const child of started.splice(0)) child.kill("SIGKILL");
  await rm(folder, { recursive: true, force: true });
});

const load = `const { temporaryFolder } = await import(${JSON.stringify(
  pathToFileURL(join(packageRoot(), "dist/src/process/temporaryFolder.js")).href,
)});`;

const program = `
  ${load}
  const made = await temporaryFolder();
  const { writeFileSync } = await import("node:fs");
  writeFileSync(made + "/weights", "w");
  console.log(made);
  process.stdin.on("end", () => process.exit(0)).resume();`;

/** Killed in its first busy turn, as a child is that is cancelled while it loads TensorFlow. */
const killedAtOnce = `
  ${load}
  void temporaryFolder();
  const { readdirSync } = await import("node:fs");
  const until = performance.now() + 300;
  while (performance.now() < until || readdirSync(process.env.TMPDIR).length === 0);
  process.kill(process.pid, "SIGKILL");
  for (;;);`;

/** A process with temporary files below `parent`, and where they are. */
async function start(parent: string): Promise<readonly [ChildProcess, string]> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    env: { ...process.env, TMPDIR: parent },
    stdio: ["pipe", "pipe", "inherit"],
  });
  started.push(child);
  const [bytes] = (await once(child.stdout, "data")) as readonly Buffer[];
  return [child, bytes?.toString().trim() ?? ""];
}

test.each([
  ["short", ""],
  ["long", "x".repeat(120)],
])(
  "what killed processes left is cleared, and nothing of the living, under a %s path",
  async (_, name) => {
    const parent = join(folder, name);
    await mkdir(parent, { recursive: true });
    const [dead, left] = await start(parent);
    const [, kept] = await start(parent);
    const [ending, gone] = await start(parent);
    const ends = [once(dead, "exit"), once(ending, "exit")];
    dead.kill("SIGKILL");
    // One that ends by itself leaves nothing.
    ending.stdin?.end();
    await Promise.all(ends);
    expect([left, kept, gone].map((path) => existsSync(path))).toEqual([true, true, false]);
    expect(await clearTemporary(parent)).toBe(1);
    expect(existsSync(left)).toBe(false);
    expect(existsSync(join(kept, "weights"))).toBe(true);
    expect(await readdir(parent)).toHaveLength(1);
    expect(await clearTemporary(parent)).toBe(0);
  },
);

test("one that is killed as soon as it has a folder leaves none that cannot be cleared", async () => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", killedAtOnce], {
    env: { ...process.env, TMPDIR: folder },
    stdio: "inherit",
  });
  started.push(child);
  await once(child, "exit");
  expect(await readdir(folder)).toHaveLength(1);
  expect(await clearTemporary(folder)).toBe(1);
  expect(await readdir(folder)).toEqual([]);
});

test("of folders that were never listened on, the old and empty are cleared", async () => {
  await mkdir(join(folder, ".bitfleet-new-empty"));
  await mkdir(join(folder, ".bitfleet-new-used/part-x"), { recursive: true });
  expect(await clearTemporary(folder)).toBe(0);
  vi.spyOn(Date, "now").mockReturnValue(Date.now() + 120_000);
  expect(await clearTemporary(folder)).toBe(1);
  expect(await readdir(folder)).toEqual([".bitfleet-new-used"]);
});

test("files and folders of others stay", async () => {
  await writeFile(join(folder, "bitfleet-tmp-file"), "");
  await mkdir(join(folder, "something-else"));
  expect(await clearTemporary(folder)).toBe(0);
  expect(await readdir(folder)).toHaveLength(2);
  expect(await clearTemporary(join(folder, "absent"))).toBe(0);
});
