import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import type { Check } from "../../src/cli/doctor.js";
import { ConfigError, FailureError, NotFoundError } from "../../src/job/problem.js";
import { settingNames, flag } from "../../src/job/settings.js";
import type { TrainingHandlers } from "../../src/link/service.js";
import type { Preview, SubmitRequest } from "../../src/wire/training.js";
import { run } from "./cliRun.js";
import { jobStatus, settings } from "./grpcFixture.js";

describe("wrong use ends with code 2 and says what is wrong", () => {
  test.each<readonly [readonly string[], RegExp]>([
    [[], /Usage: bitfleet/],
    [["frobnicate"], /unknown command 'frobnicate'/],
    [["submit", "--nmae", "x"], /unknown option '--nmae'/],
    [["submit", "--model", "R50x1", "--data", "/d"], /name is not given/],
    [["submit", "--name", "A", "--model", "R50x1", "--data", "/d"], /name is "A", not a DNS label/],
    [["submit", "--name", "a", "--model", "R51x1", "--data", "/d"], /R51x1.*R50x1/],
    [
      ["submit", "--name", "a", "--model", "R50x1", "--data", "/d", "--rate", "fast"],
      /rate is "fast"/,
    ],
    [
      ["submit", "--name", "a", "--model", "R50x1", "--data", "/d", "--steps", "1.5"],
      /steps is "1.5"/,
    ],
    [["submit", "--name"], /argument missing/],
    [["status"], /missing required argument 'job'/],
    [["status", "Bad_Name"], /Bad_Name/],
    [["logs", "digits", "--after", "x"], /whole number/],
    [["export", "digits"], /^out is not given: --out FILE$/],
    [["predict", "digits"], /missing required argument 'files'/],
    [["predict", "digits", "/no/such.png"], /cannot read \/no\/such\.png/],
    [
      ["predict", "digits", "a.png", "--top", "0"],
      /--top is "0", not a whole number from 1 to 100/,
    ],
    [["up", "--workers", "many"], /whole number/],
    [["jobs", "--coordinator", "nowhere"], /HOST:PORT/],
    [["jobs", "--token-file", "/no/token"], /\/no\/token/],
    [["jobs", "too", "many"], /too many arguments/],
    [["scale", "3", "--statefulset", "workers"], /there is no Kubernetes here/],
  ])("%j", async (args, sentence) => {
    const { code, terminal } = await run(args);
    expect(terminal.noted).toMatch(sentence);
    expect(terminal.answers).toEqual([]);
    expect(code).toBe(2);
  });
});

test("help and version end with code 0, and submit's help has every setting", async () => {
  const help = await run(["submit", "--help"]);
  expect(help.code).toBe(0);
  for (const name of settingNames) expect(help.terminal.answer).toContain(flag(name));
  expect((await run(["--version"])).terminal.answer).toMatch(/^\d+\.\d+\.\d+$/);
  expect((await run(["--help"])).terminal.answer).toMatch(/submit.*\n(.*\n)*.*doctor/);
});

describe("submit", () => {
  const preview: Preview = {
    settings,
    lines: ["Job   digits", "Model R50x1\u001b[2J"],
    classes: ["a", "b"],
    trainingExamples: 50,
    validationExamples: 10,
    indexDigest: "ab",
  };
  const needed = ["submit", "--name", "digits", "--model", "R50x1", "--data", "pictures"];

  function handlers(seen: SubmitRequest[]): Partial<TrainingHandlers> {
    return {
      async *preview() {
        yield { picturesRead: 30, pictures: 60, preview: undefined };
        yield { picturesRead: 60, pictures: 60, preview };
      },
      submit: async (request) => {
        seen.push(request);
        return jobStatus({ state: "queued" });
      },
    };
  }

  test("shows what will happen, then queues the job with its flags", async () => {
    const seen: SubmitRequest[] = [];
    const flags = ["--no-crop", "--micro-batch", "8", "--drops", "0.3,0.6", "--weights", "job:old"];
    const training = handlers(seen);
    const { code, terminal } = await run([...needed, ...flags], { training, interactive: true });
    expect(code).toBe(0);
    expect(terminal.answers).toEqual(["Job   digits", "Model R50x1 [2J", "digits is queued"]);
    expect(terminal.lives[0]).toBe("reading pictures: 30 of 60");
    expect(seen[0]?.settings).toEqual({
      name: "digits",
      model: "R50x1",
      data: resolve("pictures"),
      noCrop: true,
      microBatch: 8,
      drops: [0.3, 0.6],
      weights: "job:old",
    });
  });

  test("stops after the preview with --dry-run", async () => {
    const seen: SubmitRequest[] = [];
    const training = handlers(seen);
    const { code, terminal } = await run([...needed, "--dry-run"], { training });
    expect(code).toBe(0);
    expect(terminal.noted).toContain("nothing was submitted");
    const json = await run([...needed, "--dry-run", "--json"], { training });
    expect(JSON.parse(json.terminal.answer)).toMatchObject({ trainingExamples: 50 });
    expect(seen).toEqual([]);
  });

  test("queues nothing when the preview is refused", async () => {
    const seen: SubmitRequest[] = [];
    const training: Partial<TrainingHandlers> = {
      ...handlers(seen),
      preview: () => {
        throw new ConfigError("class-2 in /v is not in\u001b[31m /d");
      },
    };
    const { code, terminal } = await run(needed, { training });
    expect(code).toBe(2);
    expect(terminal.noted).toBe("class-2 in /v is not in [31m /d");
    expect(seen).toEqual([]);
  });

  test.each([
    ["done", 0],
    ["failed", 1],
  ] as const)(
    "with --watch ends with the job, which is %s, and code %d",
    async (state, expected) => {
      const training: Partial<TrainingHandlers> = {
        ...handlers([]),
        async *watchJob() {
          yield jobStatus({ evaluations: [] });
          yield jobStatus({ state });
        },
      };
      const { code, terminal } = await run([...needed, "--watch"], { training });
      expect(terminal.noted).toContain("training  step 12/60");
      expect(terminal.noted).toContain(`digits is ${state}`);
      expect(code).toBe(expected);
    },
  );

  test("on a terminal --watch keeps one live line and notes every evaluation once", async () => {
    const evaluations = [{ step: 10, correct: 1, total: 4, loss: 1 }];
    const training: Partial<TrainingHandlers> = {
      ...handlers([]),
      async *watchJob() {
        yield jobStatus({ step: 1, evaluations: [] });
        yield jobStatus({ step: 10, evaluations });
        yield jobStatus({ step: 11, evaluations });
        yield jobStatus({ step: 60, evaluations, state: "done" });
      },
    };
    const { terminal } = await run([...needed, "--watch"], { training, interactive: true });
    const steps = terminal.lives.filter((line) => line.includes("step"));
    expect(steps).toHaveLength(4);
    expect(terminal.lives.at(-1)).toBe("");
    expect(terminal.notes.slice(0, 2)).toEqual([
      "evaluation at step 10: 1/4 (25.0 %) correct, loss 1",
      "digits is done",
    ]);
  });

  test("Ctrl-C during --watch detaches and says how to watch again", async () => {
    const stop = new AbortController();
    const training: Partial<TrainingHandlers> = {
      ...handlers([]),
      async *watchJob(_, signal) {
        yield jobStatus();
        stop.abort();
        await new Promise((done) => signal.addEventListener("abort", done));
      },
    };
    const outcome = await run([...needed, "--watch"], { training, signal: stop.signal });
    expect(outcome.code).toBe(0);
    expect(outcome.terminal.notes.at(-1)).toBe(
      "detached; the job goes on. Watch it again: bitfleet status digits --watch",
    );
  });
});

describe("reading commands", () => {
  const training: Partial<TrainingHandlers> = {
    listJobs: async () => [jobStatus()],
    getJob: async (name) => {
      if (name !== "digits") throw new NotFoundError(`there is no job called ${name}`);
      return jobStatus();
    },
    listWorkers: async () => [],
    async *readLogs({ afterSequence, follow }) {
      for (const sequence of [1, 2, 3].filter((next) => next > afterSequence)) {
        yield { sequence, timeMs: 0, level: "info", message: `line ${follow}`, fields: {} };
      }
    },
  };

  test.each([
    ["jobs", [expect.objectContaining({ name: "digits", step: 12 })]],
    ["status digits", expect.objectContaining({ name: "digits", secondsLeft: 57 })],
    ["workers", []],
  ])("%s --json prints one document", async (command, expected) => {
    const { code, terminal } = await run([...command.split(" "), "--json"], { training });
    expect(code).toBe(0);
    expect(JSON.parse(terminal.answer)).toEqual(expected);
  });

  test("logs print lines, from where they are asked for, and one object per line with --json", async () => {
    const all = await run(["logs", "digits", "-f"], { training });
    expect(all.terminal.answers).toEqual(["- line true", "- line true", "- line true"]);
    const rest = await run(["logs", "digits", "--after", "2", "--json"], { training });
    expect(rest.terminal.answers.map((line): unknown => JSON.parse(line))).toEqual([
      { sequence: 3, timeMs: 0, level: "info", message: "line false", fields: {} },
    ]);
  });

  test("an unknown job is named", async () => {
    const { code, terminal } = await run(["status", "nobody"], { training });
    expect(terminal.noted).toBe("there is no job called nobody");
    expect(code).toBe(2);
  });
});

test("evaluate prints correct and total", async () => {
  const training: Partial<TrainingHandlers> = {
    getJob: async () => jobStatus({ state: "done" }),
    listJobs: async () => [],
    submit: async ({ settings: request }) => jobStatus({ name: request.name, state: "queued" }),
    async *watchJob(name) {
      const evaluations = [{ step: 0, correct: 78, total: 100, loss: 0.5 }];
      yield jobStatus({ name, state: "done", steps: 0, step: 0, evaluations });
    },
  };
  const { code, terminal } = await run(["evaluate", "digits"], { training });
  expect(code).toBe(0);
  expect(terminal.answer).toBe("78/100 (78.0 %) correct, loss 0.5");
  const json = await run(["evaluate", "digits", "--json"], { training });
  expect(JSON.parse(json.terminal.answer)).toEqual({
    job: "digits",
    evaluation: "digits-evaluate-1",
    correct: 78,
    total: 100,
    loss: 0.5,
  });
});

test("cancel and resume show what the job is now", async () => {
  const training: Partial<TrainingHandlers> = {
    cancelJob: async () => jobStatus({ state: "cancelling", evaluations: [] }),
    resumeJob: async () => {
      throw new FailureError("digits is training; only a cancelled or failed job can be resumed");
    },
  };
  const cancelled = await run(["cancel", "digits"], { training });
  expect(cancelled.terminal.answer).toBe("digits: cancelling  step 12/60  loss 1.25  2 workers");
  const resumed = await run(["resume", "digits"], { training });
  expect(resumed.code).toBe(1);
  expect(resumed.terminal.noted).toMatch(/only a cancelled or failed job/);
});

test("drain says that the worker is leaving, and refuses what is no id before it asks", async () => {
  const training: Partial<TrainingHandlers> = {
    drainWorker: async (id) => ({
      ...{ id, incarnation: "i1", host: "host", device: "CPU", state: "leaving", reason: "" },
      ...{ job: "", phase: "", numerics: "n", imagesPerSecond: 0, residentBytes: 0 },
      lastBeatAgeMs: 1,
    }),
  };
  const drained = await run(["drain", "w2"], { training });
  expect(drained.terminal.answer).toBe("w2 is leaving");
  expect(drained.code).toBe(0);
  const refused = await run(["drain", "W 2"], { training });
  expect(refused.code).toBe(2);
  expect(refused.terminal.noted).toMatch(/worker is "W 2", not an id/);
});

test("scale without Kubernetes asks the coordinator, and refuses what is too many before it asks", async () => {
  const asked: number[] = [];
  const training: Partial<TrainingHandlers> = {
    scaleWorkers: async (workers) => {
      asked.push(workers);
      if (workers === 0) throw new FailureError("the workers were not started by `bitfleet up`");
      return workers;
    },
  };
  const scaled = await run(["scale", "3"], { training });
  expect([scaled.code, scaled.terminal.answer]).toEqual([0, "3 workers are to run"]);
  const alone = await run(["scale", "0"], { training });
  expect(alone.code).toBe(1);
  expect(alone.terminal.noted).toMatch(/the workers were not started by `bitfleet up`/);
  const refused = await run(["scale", "65"], { training });
  expect(refused.code).toBe(2);
  expect(refused.terminal.noted).toMatch(/workers is "65", not a whole number from 0 to 64/);
  expect(asked).toEqual([3, 0]);
});

test("doctor names what it has looked at, and ends with code 1 only where something is missing", async () => {
  const { code, terminal } = await run(["doctor", "--json"], {
    training: { listWorkers: async () => [] },
  });
  const checks = JSON.parse(terminal.answer) as Check[];
  const states = new Map(checks.map(({ name, state }) => [name, state]));
  for (const name of ["Node", "sharp", "coordinator"]) expect(states.get(name), name).toBe("ok");
  expect(states.has("GPU")).toBe(true);
  expect(checks.find(({ name }) => name === "arithmetic")?.about).toContain(", oneDNN, ");
  expect(code).toBe(checks.some(({ state }) => state === "missing") ? 1 : 0);
});
