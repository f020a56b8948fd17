import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { anyPort } from "../../src/process/port.js";
import { RunningProcess, until } from "../support/fleetProcesses.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-home-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** As Node behaves for a user whom the system does not know, and without HOME. */
const homeless = `
  import os from "node:os";
  import { syncBuiltinESMExports } from "node:module";
  os.homedir = () => {
    throw Object.assign(new Error("A system error occurred: uv_os_homedir returned ENOENT"), { code: "ERR_SYSTEM_ERROR" });
  };
  syncBuiltinESMExports();`;
const withoutHome = {
  NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(homeless)}`,
  HOME: "",
  BITFLEET_HOME: "",
};

function sentences({ output }: RunningProcess): readonly string[] {
  return output.split("\n").filter((line) => line !== "" && !line.startsWith("{"));
}

test("without a home folder `up` and the coordinator name the setting, and commands do without", async () => {
  const needed =
    "this user has no home folder (HOME is not set, and the system knows none): BITFLEET_HOME or --home must name the state folder";
  const up = new RunningProcess("src/cli/main.js", ["up"], withoutHome);
  expect((await up.ended).code).toBe(2);
  expect(sentences(up)).toEqual([needed]);
  const coordinator = new RunningProcess("coordinator/main.js", [], withoutHome);
  expect((await coordinator.ended).code).toBe(2);
  expect(sentences(coordinator)).toEqual([needed]);

  // The default port, so that the own token file is looked for; where nobody listens on it, it says so.
  const jobs = new RunningProcess("src/cli/main.js", ["jobs"], { ...withoutHome, LOG_LEVEL: "" });
  const { code } = await jobs.ended;
  expect(jobs.output).not.toContain("homedir");
  expect([0, 1]).toContain(code);

  const join = { BITFLEET_JOIN: `127.0.0.1:${await anyPort()}`, BITFLEET_CACHE: "" };
  const worker = new RunningProcess("worker/main.js", [], { ...withoutHome, ...join });
  await until("the worker asks for its coordinator", () =>
    worker.output.includes("no coordinator; trying again"),
  );
  expect(worker.output).toContain("BITFLEET_CACHE may name one");
  await worker.stop();
}, 60_000);

test.each([
  ["up", ["src/cli/main.js", "up"]],
  ["the coordinator", ["coordinator/main.js"]],
])(
  "%s says in one sentence that its state folder cannot be made",
  async (_, [file = "", ...args]) => {
    const inTheWay = join(folder, "file");
    await writeFile(inTheWay, "");
    const home = join(inTheWay, ".bitfleet");
    const ports = {
      BITFLEET_PORT: String(await anyPort()),
      BITFLEET_HTTP_PORT: String(await anyPort()),
    };
    const process = new RunningProcess(file, args, { BITFLEET_HOME: home, ...ports });
    expect((await process.ended).code).toBe(1);
    expect(sentences(process)).toEqual([
      `the state folder ${home} cannot be used: a part of the path is no folder (${home}); BITFLEET_HOME or --home names another`,
    ]);
  },
  60_000,
);
