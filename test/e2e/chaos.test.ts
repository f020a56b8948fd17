import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { childrenOf, processesWith } from "../chaos/processes.js";
import { RunningProcess, until } from "../support/fleetProcesses.js";

/** Where everything of a run is to be, and nothing after it. */
let folder: string;
let run: RunningProcess | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-chaos-test-"));
});

afterEach(async () => {
  await run?.stop();
  await rm(folder, { recursive: true, force: true });
});

function chaos(...args: readonly string[]): RunningProcess {
  run = new RunningProcess("test/chaos/chaos.js", args, { TMPDIR: folder });
  return run;
}

async function report(file: string): Promise<unknown> {
  return JSON.parse(await readFile(file, "utf8"));
}

test("a job under faults of every kind gives the bytes and the log of an undisturbed one, and nothing is left", async () => {
  const file = join(folder, "report.json");
  const times = ["--minutes", "1.1", "--every", "3.3", "--longest", "4"];
  const { ended } = chaos(...times, "--seed", "4", "--json", file);
  const { code } = await ended;
  expect(code, run?.output).toBe(0);
  expect(run?.output).toContain("by cmp");
  const { faults, problems } = (await report(file)) as {
    // As written by test/chaos/campaign.ts.
    readonly faults: readonly { readonly kind: string; readonly count: number }[];
    readonly problems: readonly string[];
  };
  expect(problems).toEqual([]);
  const fired = faults.filter(({ count }) => count > 0).map(({ kind }) => kind);
  expect(fired.length, fired.join(", ")).toBeGreaterThanOrEqual(12);
  expect(await readdir(folder)).toEqual(["report.json"]);
}, 420_000);

test("jobs that train, are cancelled and evaluate leave no process, file or JetStream consumer", async () => {
  const file = join(folder, "report.json");
  const { ended } = chaos("--jobs", "9", "--workers", "2", "--json", file);
  const { code } = await ended;
  expect(code, run?.output).toBe(0);
  expect(await report(file)).toMatchObject({
    problems: [],
    after: { processes: 4, temporaryFiles: 0, consumers: 0 },
  });
  expect(await readdir(folder)).toEqual(["report.json"]);
}, 240_000);

test("an interrupt in the middle leaves no process and no file", async () => {
  const process = chaos("--workers", "2");
  const home = async (): Promise<string> => join(folder, (await readdir(folder))[0] ?? "");
  await until("a fleet at work", async () => {
    const fleet = processesWith("BITFLEET_CHAOS", await home());
    return fleet.some((pid) => childrenOf(pid).length > 0);
  });
  const place = await home();
  process.kill("SIGINT");
  expect((await process.ended).code).toBe(1);
  expect(processesWith("BITFLEET_CHAOS", place)).toEqual([]);
  expect(await readdir(folder)).toEqual([]);
}, 120_000);
