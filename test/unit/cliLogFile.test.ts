import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { LogFile } from "../../src/cli/logFile.js";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-log-"));
  path = join(folder, "worker-1.log");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

test("a log is put aside at its size, and the oldest goes", async () => {
  const log = new LogFile(path, { bytesMax: 100, kept: 2 });
  for (let i = 0; i < 40; i += 1) log.write(`line ${String(i).padStart(4, "0")}`);
  log.close();
  expect((await readdir(folder)).toSorted()).toEqual([
    "worker-1.log",
    "worker-1.log.1",
    "worker-1.log.2",
  ]);
  const texts = await Promise.all([".2", ".1", ""].map((end) => readFile(path + end, "utf8")));
  for (const text of texts) expect(text.length).toBeLessThanOrEqual(100);
  // Ten lines of ten bytes in each, and none lost between them.
  const lines = texts.join("").trimEnd().split("\n");
  expect(lines).toEqual(
    Array.from({ length: 30 }, (_, i) => `line ${String(i + 10).padStart(4, "0")}`),
  );

  // Another life goes on with what is there.
  const next = new LogFile(path, { bytesMax: 100, kept: 2 });
  next.write("line 0040");
  next.close();
  expect(await readFile(path, "utf8")).toBe("line 0040\n");
});

test("lines after a rename or a removal are in a new file of the name", async () => {
  const log = new LogFile(path, { lookMs: 0 });
  log.write("before");
  await rename(path, `${path}.old`);
  log.write("after");
  await rm(path);
  log.write("again");
  log.close();
  expect(await readFile(`${path}.old`, "utf8")).toBe("before\n");
  expect(await readFile(path, "utf8")).toBe("again\n");
});

test("lines that cannot be written are counted and told", async () => {
  const moved = `${folder}-gone`;
  const log = new LogFile(path, { lookMs: 0 });
  await rename(folder, moved);
  log.write("one");
  log.write("two");
  await rename(moved, folder);
  log.write("three");
  log.close();
  expect(await readFile(path, "utf8")).toBe(
    "2 lines were left out: they could not be written\nthree\n",
  );
});
