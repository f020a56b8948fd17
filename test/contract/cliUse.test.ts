import { once } from "node:events";
import { mkdtemp } from "node:fs/promises";
import { createServer } from "node:http";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FailureError } from "../../src/job/problem.js";
import type { TrainingHandlers } from "../../src/link/service.js";
import { folders, run } from "./cliRun.js";
import { jobStatus } from "./grpcFixture.js";

test("all flags that are missing are named at once", async () => {
  const { code, terminal } = await run(["submit", "--data", "/d"]);
  expect([code, terminal.noted]).toEqual([
    2,
    "name, model are not given: --name NAME --model MODEL",
  ]);
});

test.each([
  ["r50x1", "R50x1"],
  ["BiT-M-R152x4", "R152x4"],
  ["resnetv2_101x3_bit", "R101x3"],
  ["resnet50", "R50x1"],
])("the model %s is taken for %s", async (model, meant) => {
  const { terminal } = await run(["submit", "--name", "a", "--data", "/d", "--model", model]);
  expect(terminal.noted).toContain(
    `model "${model}" is not known, did you mean ${meant}?: use R50x1`,
  );
});

test("who cannot be reached is told what to do", async () => {
  const { code, terminal } = await run(["jobs", "--coordinator", "127.0.0.1:1"]);
  expect([code, terminal.noted]).toEqual([
    1,
    'cannot reach the coordinator at 127.0.0.1:1: nothing listens there; is "bitfleet up" running? --coordinator or BITFLEET_COORDINATOR says where it is',
  ]);
});

test("evaluate says its result once where there is no terminal", async () => {
  const training: Partial<TrainingHandlers> = {
    getJob: async () => jobStatus({ state: "done" }),
    listJobs: async () => [],
    submit: async ({ settings: request }) => jobStatus({ name: request.name, state: "queued" }),
    async *watchJob(name) {
      const evaluations = [{ step: 0, correct: 78, total: 100, loss: 0.5 }];
      yield jobStatus({ name, state: "evaluating", steps: 0, step: 0, evaluations: [] });
      yield jobStatus({ name, state: "evaluating", steps: 0, step: 0, evaluations });
      yield jobStatus({ name, state: "done", steps: 0, step: 0, evaluations });
    },
  };
  for (const interactive of [false, true]) {
    const { terminal } = await run(["evaluate", "digits"], { training, interactive });
    expect(terminal.answers).toEqual(["78/100 (78.0 %) correct, loss 0.5"]);
    expect(terminal.noted).not.toContain("78");
  }
});

test("one bound of scale is told for text and numbers alike", async () => {
  for (const workers of ["many", "100"]) {
    const { code, terminal } = await run(["scale", workers]);
    expect([code, terminal.noted]).toEqual([
      2,
      `workers is "${workers}", not a whole number from 0 to 64`,
    ]);
  }
});

test("a refused number of --after is a sentence", async () => {
  const { terminal } = await run(["logs", "digits", "--after", "-1"]);
  expect(terminal.noted).toBe('--after is "-1", not a whole number from 0 to 2147483647');
});

test.each([
  [["ps"], "unknown command 'ps': \"bitfleet jobs\" lists the jobs"],
  [["run"], '"bitfleet submit" queues a job'],
  [["train"], '"bitfleet submit" queues a job'],
  [["ls"], '"bitfleet jobs"'],
  [["rm", "one"], '"bitfleet remove JOB"'],
  [["delete"], '"bitfleet remove JOB"'],
  [["version"], '"bitfleet --version"'],
  [["stop"], '"bitfleet cancel JOB"'],
  [["kill"], '"bitfleet drain WORKER"'],
  [["data", "ls"], '"bitfleet data list"'],
  [["submitt"], "unknown command 'submitt': did you mean submit?"],
  [["frobnicate"], "unknown command 'frobnicate': bitfleet --help tells all"],
  [["submit", "--naem", "x"], "unknown option '--naem': did you mean --name?"],
  [["submit", "-name", "x"], "unknown option '-name': did you mean --name?"],
  [["submit", "--micro_batch", "4"], "did you mean --micro-batch?"],
  [["submit", "--epochs=5"], "--steps N: epochs x pictures / batch"],
  [["submit", "--lr", "1"], "--rate N"],
  [["submit", "--learning-rate", "1"], "--rate N"],
  [["submit", "--batch-size", "8"], "--batch N"],
  [["submit", "--workers", "2"], "--min-workers N"],
  [["submit", "--zzz", "2"], "unknown option '--zzz': bitfleet submit --help tells all"],
  [
    ["submit", "flowers"],
    '"flowers" is one that bitfleet submit does not take: a job\'s name goes behind --name',
  ],
  [["submit", "help"], "bitfleet submit --help shows its help"],
  [["jobs", "one"], '"bitfleet status JOB" shows one job'],
  [["status", "a", "b"], '"b" is one that bitfleet status does not take: bitfleet status JOB'],
  [["status"], "missing required argument 'job': bitfleet status JOB"],
  [["up", "--workers", "99"], '--workers is "99", not a whole number from 0 to 64'],
])("%j is told what is meant here", async (args, words) => {
  const { code, terminal } = await run(args);
  expect(code).toBe(2);
  expect(terminal.notes).toHaveLength(1);
  expect(terminal.noted).toContain(words);
});

test("a ~ that the shell has left is refused with the path that is meant", async () => {
  const meant = join(homedir(), "my pictures");
  const refusal = (flag: string): string =>
    `${flag} is "~/my pictures", and a ~ in quotes means no home folder: write '${meant}', or ./~ for a folder of that name`;
  const needed = ["submit", "--name", "a", "--model", "R50x1", "--data"];
  for (const [args, flag] of [
    [[...needed, "~/my pictures"], "--data"],
    [[...needed, "/d", "--weights", "~/my pictures"], "--weights"],
    [[...needed, "/d", "--validation", "~/my pictures"], "--validation"],
    [["jobs", "--token-file", "~/my pictures"], "--token-file"],
    [["export", "a", "--out", "~/my pictures"], "--out"],
    [["predict", "a", "~/my pictures"], "the picture"],
    [["data", "push", "~/my pictures", "a"], "the folder"],
    [["up", "--home", "~/my pictures"], "--home"],
    [["init", "~/my pictures"], "the folder"],
  ] as const) {
    const { code, terminal } = await run(args);
    expect([code, terminal.noted]).toEqual([2, refusal(flag)]);
  }
});

test("a port of HTTP is told from one where nothing listens", async () => {
  const server = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const at = `127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  try {
    const { code, terminal } = await run(["jobs", "--coordinator", at]);
    expect([code, terminal.noted]).toEqual([
      1,
      `cannot reach the coordinator at ${at}: what answers there speaks no gRPC: it may be the coordinator's port for HTTP; --coordinator or BITFLEET_COORDINATOR says where it is`,
    ]);
  } finally {
    server.close();
  }
});

test("with --json a refusal is an object", async () => {
  const wrong = await run(["status", "--json", "Bad_Name"]);
  expect(wrong.code).toBe(2);
  expect(JSON.parse(wrong.terminal.noted)).toEqual({
    error: expect.stringContaining("Bad_Name") as string,
    exitCode: 2,
  });
  const training: Partial<TrainingHandlers> = {
    cancelJob: async () => {
      throw new FailureError("it is done");
    },
  };
  const failed = await run(["cancel", "digits", "--json"], { training });
  expect(failed.code).toBe(1);
  expect(JSON.parse(failed.terminal.noted)).toEqual({ error: "it is done", exitCode: 1 });
});

test("scale, token and init answer with JSON where that is asked for", async () => {
  const training: Partial<TrainingHandlers> = { scaleWorkers: async (workers) => workers };
  const scaled = await run(["scale", "2", "--json"], { training });
  expect(JSON.parse(scaled.terminal.answer)).toEqual({ workers: 2 });
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-json-"));
  folders.push(folder);
  const tokens = join(folder, "tokens.json");
  const add = ["token", "add", "anna", "--role", "viewer", "--tokens", tokens, "--json"];
  expect(JSON.parse((await run(add)).terminal.answer)).toEqual({
    ...{ name: "anna", role: "viewer" },
    token: expect.stringMatching(/^[\x21-\x7e]{20,}$/) as string,
  });
  const revoked = await run(["token", "revoke", "anna", "--tokens", tokens, "--json"]);
  expect(JSON.parse(revoked.terminal.answer)).toEqual({ name: "anna", revoked: true });
  const fleet = join(folder, "fleet");
  const made = await run(["init", fleet, "--json"]);
  expect(JSON.parse(made.terminal.answer)).toEqual({ folder: fleet, renewed: false });
});

test("numbers in JSON have no noise of binary fractions", async () => {
  const training: Partial<TrainingHandlers> = {
    getJob: async () => jobStatus({ rate: 0.003 / 10, loss: 1 / 3 }),
  };
  const { terminal } = await run(["status", "digits", "--json"], { training });
  expect(terminal.answer).toContain('"rate": 0.0003,');
  expect(JSON.parse(terminal.answer)).toMatchObject({ rate: 0.0003, loss: 0.333333333333333 });
});

test("jobs are listed by state, kind and number", async () => {
  const training: Partial<TrainingHandlers> = {
    listJobs: async () => [
      jobStatus({ name: "one", state: "done" }),
      jobStatus({ name: "two", state: "failed" }),
      jobStatus({ name: "one-evaluate-1", state: "done", steps: 0, step: 0 }),
      jobStatus({ name: "three", state: "done" }),
    ],
  };
  const names = async (...flags: readonly string[]): Promise<readonly string[]> => {
    const { terminal } = await run(["jobs", "--json", ...flags], { training });
    return (JSON.parse(terminal.answer) as { name: string }[]).map(({ name }) => name);
  };
  expect(await names()).toEqual(["one", "two", "one-evaluate-1", "three"]);
  expect(await names("--state", "done")).toEqual(["one", "one-evaluate-1", "three"]);
  expect(await names("--state", "failed,cancelled")).toEqual(["two"]);
  expect(await names("--kind", "evaluation")).toEqual(["one-evaluate-1"]);
  expect(await names("--kind", "training", "--state", "done", "--limit", "1")).toEqual(["three"]);
  const none = await run(["jobs", "--state", "queued"], { training });
  expect([none.code, none.terminal.noted]).toEqual([0, "no job is like that"]);
  const wrong = await run(["jobs", "--state", "running"], { training });
  expect(wrong.code).toBe(2);
  expect(wrong.terminal.noted).toMatch(/^--state is "running", but must be of queued, starting, /);
});

test.each([40, 80, 120])("help fits %d columns", async (columns) => {
  for (const command of ["submit", "up", "worker", "jobs", "export"]) {
    const { code, terminal } = await run([command, "--help"], { columns });
    expect(code).toBe(0);
    for (const line of terminal.answer.split("\n"))
      expect(line.length, line).toBeLessThanOrEqual(columns);
  }
});
