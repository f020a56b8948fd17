import { mkdir, writeFile, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { anyPort } from "../../src/process/port.js";
import { FleetProcesses, RunningProcess } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";

let fleet: FleetProcesses;

beforeAll(async () => {
  fleet = await FleetProcesses.start();
  fleet.addWorker("worker");
  const { folder } = fleet;
  await writePictures(join(folder, "good"), { classes: 2, perClass: 10 });
  await writePictures(join(folder, "one-class"), { classes: 1, perClass: 10 });
  await writePictures(join(folder, "more-classes"), { classes: 3, perClass: 2 });
  await mkdir(join(folder, "no-pictures", "a"), { recursive: true });
  await mkdir(join(folder, "no-pictures", "b"), { recursive: true });
  await writePictures(join(folder, "unreadable"), { classes: 2, perClass: 3 });
  await writeFile(join(folder, "unreadable", "class-1", "text.png"), "this is no picture");
  const cut = join(import.meta.dirname, "..", "cases", "images", "truncated.jpg");
  await copyFile(cut, join(folder, "unreadable", "class-0", "cut.jpg"));
  await writeFile(join(folder, "object.npz"), "PK\u0003\u0004 nothing of the kind");
  await fleet.waitForWorkers(1);
  const { code, output } = await submit("taken", "good", "--steps", "1");
  expect(output).toContain("taken");
  expect(code).toBe(0);
}, 60_000);

afterAll(() => fleet.stop());

function submit(
  name: string,
  data: string,
  ...more: readonly string[]
): Promise<{ readonly code: number | null; readonly output: string }> {
  const tiny = ["--model", "1-1-1-1x0.5", "--batch", "16", "--shards", "4", "--crop", "32"];
  const folder = join(fleet.folder, data);
  return fleet.bitfleet("submit", "--name", name, "--data", folder, ...tiny, ...more);
}

/** Wrong use: exit code 2, one sentence that names the culprit, no stack. */
function expectRefusal(
  { code, output }: { readonly code: number | null; readonly output: string },
  sentence: RegExp,
): void {
  expect(output).toMatch(sentence);
  expect(output).not.toMatch(/^\s+at /m);
  expect(code).toBe(2);
}

describe("submit refuses, in one sentence and before any training,", () => {
  test.each<readonly [string, readonly string[], RegExp]>([
    ["an unknown model", ["x", "good", "--model", "R51x1"], /R51x1.*R50x1/],
    ["a folder without pictures", ["x", "no-pictures"], /no-pictures/],
    ["a folder with one class", ["x", "one-class"], /one-class.*class/],
    ["a folder that is not there", ["x", "absent"], /absent.*worker/],
    ["unreadable pictures", ["x", "unreadable"], /text\.png/],
    ["a class in validation that training lacks", ["x", "good", "--validation", "MORE"], /class-2/],
    ["a batch that the shards do not divide", ["x", "good", "--batch", "18"], /18.*4/],
    ["a rate that is not a number", ["x", "good", "--rate", "fast"], /rate.*fast/],
    ["a name that is no DNS label", ["Big_Job", "good"], /Big_Job/],
    ["a name in use", ["taken", "good"], /taken/],
    ["weights that are no npz", ["x", "good", "--weights", "OBJECT"], /object\.npz/],
    ["weights that are not there", ["x", "good", "--weights", "/nowhere.npz"], /nowhere\.npz/],
    ["weights of an unknown job", ["x", "good", "--weights", "job:nobody"], /nobody/],
  ])("%s", async (_what, [name = "", data = "", ...more], sentence) => {
    const places: Readonly<Record<string, string>> = {
      MORE: join(fleet.folder, "more-classes"),
      OBJECT: join(fleet.folder, "object.npz"),
    };
    const args = more.map((argument) => places[argument] ?? argument);
    expectRefusal(await submit(name, data, ...args), sentence);
  });

  test("a flag that does not exist", async () => {
    expectRefusal(await fleet.bitfleet("submit", "--nmae", "x"), /nmae/);
  });

  test("and the fleet has no job but the good one", async () => {
    const jobs = await fleet.client.jobs();
    expect(jobs.map(({ name }) => name)).toEqual(["taken"]);
  });
});

async function startCoordinator(
  environment: Readonly<Record<string, string>>,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const coordinator = new RunningProcess("coordinator/main.js", [], {
    BITFLEET_HOME: join(fleet.folder, "another-home"),
    BITFLEET_PORT: String(await anyPort()),
    BITFLEET_HTTP_PORT: String(await anyPort()),
    ...environment,
  });
  const { code } = await coordinator.ended;
  return { code, output: coordinator.output };
}

test("a coordinator whose port is in use says which", async () => {
  const { code, output } = await startCoordinator({ BITFLEET_PORT: String(fleet.port) });
  expect(output).toContain(String(fleet.port));
  expect(code).toBe(1);
});

test("a coordinator without NATS says where it looked", async () => {
  const port = await anyPort();
  const { code, output } = await startCoordinator({ NATS_URL: `nats://127.0.0.1:${port}` });
  expect(output).toMatch(new RegExp(`NATS.*${port}`));
  expect(code).toBe(1);
}, 30_000);

test("a coordinator off loopback without a token is refused", async () => {
  expectRefusal(await startCoordinator({ BITFLEET_HOST: "0.0.0.0" }), /token/);
});

test("a wrong token is refused, for clients and for workers", async () => {
  const [port, httpPort] = [await anyPort(), await anyPort()];
  const right = join(fleet.folder, "token");
  const wrong = join(fleet.folder, "wrong-token");
  await writeFile(right, "right-token-right-token\n", { mode: 0o600 });
  await writeFile(wrong, "wrong-token-wrong-token\n", { mode: 0o600 });
  const environment = {
    BITFLEET_HOME: join(fleet.folder, "token-home"),
    BITFLEET_PORT: String(port),
    BITFLEET_HTTP_PORT: String(httpPort),
    BITFLEET_TOKEN_FILE: right,
    BITFLEET_JOIN: `127.0.0.1:${port}`,
    BITFLEET_COORDINATOR: `127.0.0.1:${port}`,
  };
  const coordinator = new RunningProcess("coordinator/main.js", [], environment);
  try {
    const run = async (file: string, args: readonly string[], tokenFile: string) => {
      const process = new RunningProcess(file, args, {
        ...environment,
        BITFLEET_TOKEN_FILE: tokenFile,
      });
      const { code } = await process.ended;
      return { code, output: process.output };
    };
    for (let tries = 0; tries < 100; tries += 1) {
      const { code } = await run("src/cli/main.js", ["jobs"], right);
      if (code === 0) break;
    }
    expect((await run("src/cli/main.js", ["jobs"], right)).code).toBe(0);
    const client = await run("src/cli/main.js", ["jobs"], wrong);
    expect(client.output).toMatch(/token/);
    expect(client.code).not.toBe(0);
    const worker = await run("worker/main.js", [], wrong);
    expect(worker.output).toMatch(/token/);
    expect(worker.code).toBe(2);
  } finally {
    await coordinator.stop();
  }
}, 60_000);
