import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { proveStore } from "../../worker/proveStore.js";
import { temporaryFolder, writeFiles } from "./temporaryFolder.js";

function heard() {
  const lines: string[] = [];
  const logger = {
    warn: (line: unknown) => void lines.push(`warn ${String(line)}`),
    error: (line: unknown) => void lines.push(`error ${String(line)}`),
  };
  return { lines, logger };
}

test("a worker tries its store when it joins, says what is wrong, and leaves nothing there", async () => {
  const folder = await temporaryFolder();
  await writeFiles(folder, { "in-the-way": "x" });
  const good = heard();
  await proveStore(join(folder, "store"), {}, good.logger);
  expect(good.lines).toEqual([]);
  expect(await readdir(join(folder, "store"))).toEqual([]);

  const bad = heard();
  await proveStore(join(folder, "in-the-way"), {}, bad.logger);
  expect(bad.lines).toEqual([
    expect.stringMatching(
      /^error this worker's tasks and jobs will fail: the store folder .*in-the-way cannot be opened: /,
    ),
  ]);
});
