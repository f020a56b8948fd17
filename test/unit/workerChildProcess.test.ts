import { existsSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { packageRoot } from "../../src/process/toolchain.js";
import { ChildProcess } from "../../worker/childProcess.js";
import { temporaryFolder, writeFiles } from "./temporaryFolder.js";

const built = pathToFileURL(join(packageRoot(), "dist/src/process/temporaryFolder.js")).href;
const program = `
import { temporaryFolder } from ${JSON.stringify(built)};
process.send(await temporaryFolder());
setInterval(() => undefined, 1000);
`;

test("what a process leaves is removed by the time that it has been ended", async () => {
  const root = await temporaryFolder();
  await writeFiles(root, { "child.mjs": program });
  let child: ChildProcess<string, string> | undefined;
  const scratch = await new Promise<string>((resolve) => {
    child = new ChildProcess<string, string>({
      file: pathToFileURL(join(root, "child.mjs")),
      environment: process.env,
      onEvent: resolve,
      onExit: () => undefined,
    });
  });
  expect(existsSync(scratch)).toBe(true);
  await child?.end();
  expect(existsSync(scratch)).toBe(false);
});
