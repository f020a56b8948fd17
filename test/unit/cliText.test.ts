import { describe, expect, test } from "vitest";
import { jobLines } from "../../src/cli/jobs.js";
import { logText, readable } from "../../src/cli/readableLog.js";
import { predictionLines } from "../../src/cli/predict.js";
import { ChangeLines, evaluationLine, progressLine, resultLines } from "../../src/cli/progress.js";
import { statusLines } from "../../src/cli/status.js";
import { processTerminal } from "../../src/cli/terminal.js";
import { bytes, clock, duration, pairs, plain, share, short, table } from "../../src/cli/text.js";
import { workerLines } from "../../src/cli/workers.js";
import type { WorkerStatus } from "../../src/wire/training.js";
import { jobStatus } from "../contract/grpcFixture.js";
import { FakeTerminal } from "./fakeTerminal.js";

const terminal = new FakeTerminal();

describe("values for people", () => {
  test.each([
    ["a\u001b[31mred\u001b[0m", "a [31mred [0m"],
    ["line\r\nbreak\ttab", "line break tab"],
    ["\u009b2Jclear \u202eesrever", " 2Jclear  esrever"],
    ["plain fünf 五", "plain fünf 五"],
  ])("%j loses what would move the cursor", (text, expected) => {
    expect(plain(text)).toBe(expected);
  });

  test.each([
    [-3, "0.0 s"],
    [0.44, "0.4 s"],
    [1, "1 s"],
    [59.4, "59 s"],
    [59.6, "1 min 00 s"],
    [125, "2 min 05 s"],
    [3599.7, "1 h 00 min"],
    [3720, "1 h 02 min"],
    [200_000, "2 d 7 h"],
  ])("%d seconds are %s", (seconds, expected) => {
    expect(duration(seconds)).toBe(expected);
  });

  test.each([
    [0, "0 B"],
    [999, "999 B"],
    [999.96, "1.0 kB"],
    [94_200_000, "94.2 MB"],
    [5e15, "5000.0 TB"],
  ])("%d bytes are %s", (count, expected) => {
    expect(bytes(count)).toBe(expected);
  });

  test.each([
    [0, "0"],
    [0.003, "0.003"],
    [1.23456, "1.235"],
    [431.49, "431.5"],
    [12_345.6, "12346"],
    [0.0000300001, "3e-5"],
    [NaN, "NaN"],
  ])("%d is %s in short", (value, expected) => {
    expect(short(value)).toBe(expected);
  });

  test("a share is a fraction and a percentage, and nothing of nothing is no division", () => {
    expect(share(93, 100)).toBe("93/100 (93.0 %)");
    expect(share(0, 0)).toBe("0/0");
  });

  test("a time that has not come is a dash", () => {
    expect(clock(0)).toBe("-");
    expect(clock(new Date(2026, 0, 2, 3, 4, 5).getTime())).toMatch(
      /^2026-01-02 03:04:05 [+-]\d\d:\d\d$/,
    );
  });

  test.each([
    ["Asia/Kolkata", "2026-01-02 08:34:05 +05:30"],
    ["America/New_York", "2026-01-01 22:04:05 -05:00"],
    ["UTC", "2026-01-02 03:04:05 +00:00"],
  ])("a time says how far its zone is from UTC: %s", (zone, expected) => {
    const before = process.env["TZ"];
    process.env["TZ"] = zone;
    try {
      expect(clock(Date.UTC(2026, 0, 2, 3, 4, 5))).toBe(expected);
    } finally {
      if (before === undefined) delete process.env["TZ"];
      else process.env["TZ"] = before;
    }
  });

  test("columns and names are aligned, without blanks at the ends", () => {
    const rows = [
      ["digits", "1"],
      ["x\n", ""],
    ];
    expect(table(["NAME", "N"], rows)).toEqual(["NAME    N", "digits  1", "x"]);
    expect(
      pairs([
        ["a", "1"],
        ["long", "2"],
      ]),
    ).toEqual(["a     1", "long  2"]);
  });
});

describe("progress", () => {
  test("a line says step, loss, rate, speed, time left and workers", () => {
    const status = jobStatus({ evaluations: [] });
    expect(progressLine(status)).toBe(
      "training  step 12/60  57 s left  loss 1.25  rate 0.003  431.5 images/s  2 workers",
    );
  });

  test("what is not known yet, or does not count, is left out", () => {
    const status = jobStatus({
      state: "waiting",
      reason: "0 workers are ready,\nneed 1",
      loss: undefined,
      workers: 0,
    });
    expect(progressLine(status)).toBe(
      "waiting  step 12/60  0 workers are ready, need 1  61/100 (61.0 %) correct",
    );
    const early = jobStatus({ imagesPerSecond: 0, secondsLeft: -1, rate: 0, evaluations: [] });
    expect(progressLine(early)).toBe("training  step 12/60  loss 1.25  2 workers");
    const evaluating = jobStatus({ state: "evaluating", steps: 0, step: 0, evaluations: [] });
    expect(progressLine(evaluating)).toBe("evaluating  loss 1.25  2 workers");
  });

  test("a log has a line per change of state, steps every five seconds, and every evaluation once", () => {
    const changes = new ChangeLines();
    const at = (
      step: number,
      nowMs: number,
      more: Parameters<typeof jobStatus>[0] = {},
    ): readonly string[] => changes.next(jobStatus({ step, evaluations: [], ...more }), nowMs);
    const evaluations = [{ step: 20, correct: 1, total: 2, loss: 0.5 }];
    expect(at(0, 0, { state: "starting" })).toHaveLength(1);
    expect(at(0, 10, { state: "starting" })).toEqual([]);
    expect(at(0, 20)).toEqual([expect.stringMatching(/^training {2}step 0\/60/)]);
    expect(at(1, 30)).toEqual([]);
    expect(at(2, 5_019)).toEqual([]);
    expect(at(2, 5_020)).toEqual([expect.stringMatching(/step 2\/60/)]);
    expect(at(2, 99_000)).toEqual([]);
    expect(at(3, 99_000, { evaluations })).toEqual([
      "evaluation at step 20: 1/2 (50.0 %) correct, loss 0.5",
      expect.stringMatching(/step 3\/60/),
    ]);
    expect(at(3, 99_500, { evaluations, reason: "a worker was lost" })).toEqual([
      expect.stringMatching(/a worker was lost  loss/),
    ]);
    expect(at(60, 99_600, { evaluations, reason: "a worker was lost" })).toHaveLength(1);
    expect(at(60, 99_700, { evaluations, state: "done" })).toEqual([]);
  });

  test("the result of a job that is done says how good it is and how to get it", () => {
    const done = jobStatus({
      state: "done",
      step: 60,
      endedMs: 1_700_000_066_000,
      parameterDigest: "ab12",
      weights: "jobs/digits/weights.npz",
    });
    expect(resultLines(done)).toEqual([
      "digits is done",
      "evaluation at step 10: 61/100 (61.0 %) correct, loss 0.9",
      "it took 1 min 05 s",
      "parameters ab12",
      "write the weights: bitfleet export digits --out digits.npz",
    ]);
  });

  test("the result of a job that failed says why and what to do", () => {
    const failed = jobStatus({
      state: "failed",
      reason: "shard 3\nis not finite",
      evaluations: [],
    });
    expect(resultLines(failed)).toEqual([
      "digits is failed: shard 3 is not finite",
      "read its log: bitfleet logs digits",
      "go on with it: bitfleet resume digits",
    ]);
  });

  test("a loss that has become infinite is shown as such", () => {
    expect(evaluationLine({ step: 1, correct: 0, total: 1, loss: Infinity })).toContain("Infinity");
  });
});

describe("tables", () => {
  const worker: WorkerStatus = {
    id: "worker-1",
    incarnation: "a",
    host: "host",
    device: "CPU, 2 cores",
    state: "spare",
    reason: "its arithmetic differs: avx2, the job has avx512",
    job: "",
    phase: "idle",
    numerics: "x",
    imagesPerSecond: 0,
    residentBytes: 250e6,
    lastBeatAgeMs: 400,
  };

  test("workers are shown with the reason of a spare", () => {
    expect(workerLines([worker])).toEqual([
      "WORKER    STATE  JOB  PHASE  IMAGES/S  MEMORY    HEARD      HOST  DEVICE        REASON",
      "worker-1  spare  -    idle   -         250.0 MB  0.4 s ago  host  CPU, 2 cores  its arithmetic differs: avx2, the job has avx512",
    ]);
    expect(workerLines([])).toEqual([
      "no workers; start one with: bitfleet worker --join HOST:PORT",
    ]);
  });

  test("jobs are shown with step, loss, evaluation and time left", () => {
    const [header, row] = jobLines([jobStatus({ createdMs: 0 })]);
    expect(header).toMatch(/^NAME +STATE +STEP +LEFT +CORRECT +LOSS +CREATED +REASON$/);
    expect(row).toMatch(/^digits +training +12\/60 +57 s +61\/100 \(61\.0 %\) +1\.25 +-$/);
  });

  test("in a narrow terminal columns go from the right, name and state stay, and a reason is cut", () => {
    const jobs = [
      jobStatus({ state: "queued", reason: "needs 4 workers; 1 is connected", evaluations: [] }),
    ];
    const header = (columns: number): string => jobLines(jobs, columns)[0] ?? "";
    expect(header(200)).toMatch(/^NAME +STATE +STEP +LEFT +CORRECT +LOSS +CREATED +REASON$/);
    expect(header(80)).toMatch(/^NAME +STATE +STEP +LEFT +CORRECT +LOSS +REASON$/);
    expect(jobLines(jobs, 40)).toEqual([
      "NAME    STATE   STEP   REASON",
      "digits  queued  12/60  needs 4 workers;…",
    ]);
    expect(jobLines(jobs, 10)[1]).toBe("digits  queued");
    for (const columns of [40, 60, 80, 120])
      for (const line of jobLines(jobs, columns)) expect(line.length).toBeLessThanOrEqual(columns);
    const fine = [jobStatus({ createdMs: 0 })];
    expect(jobLines(fine, 40)).toEqual([
      "NAME    STATE     STEP   LEFT",
      "digits  training  12/60  57 s",
    ]);
  });

  test("an evaluation is told from a training in the list", () => {
    expect(jobLines([jobStatus({ steps: 0, step: 0 })])[1]).toMatch(
      /^digits +training +evaluation /,
    );
  });

  test("a line of JSON of a process is read as a line of a job's log", () => {
    const line = JSON.stringify({
      ...{ level: "warn", time: "2026-01-02T03:04:05.000Z", worker: "w1", job: "digits" },
      ...{ msg: "slow\u001b[2J", sizes: [1, 2], ok: true, text: "a b" },
    });
    expect(readable(`${line}\n`, terminal)).toMatch(
      /^2026-01-0\d \d\d:\d\d:05 [+-]\d\d:\d\d warn: slow \[2J {2}job=digits sizes=\[1,2\] ok=true text="a b"$/,
    );
  });

  test("a status is read from top to bottom", () => {
    const text = statusLines(jobStatus({ reason: "all\u001b[2J well" }), terminal).join("\n");
    expect(text).toContain("digits: training, all [2J well");
    expect(text).toMatch(/workers +2, used to 91 %/);
    expect(text).toMatch(/slowest +w2 takes 1\.8 times as long for a shard as the median/);
    expect(text).toMatch(/model {6}1-1-1-1x0\.5, 2 classes/);
    expect(text).toMatch(/steps {6}12 of 60, 512 examples each, pass 3/);
    expect(text).toMatch(/speed {6}431\.5 images\/s/);
    expect(text).toMatch(/AT STEP {2}CORRECT {10}LOSS\n {2}10 {7}61\/100 \(61\.0 %\) {2}0\.9$/);
  });

  test("a log line has its time, its level where it is urgent, and its fields", () => {
    const fields = { step: 3, loss: 0.123456, members: "a, b", worker: "w\u001b]0;x" };
    const line = {
      sequence: 1,
      timeMs: 0,
      level: "warn",
      message: "slow\nworker",
      fields,
    } as const;
    expect(logText(line, terminal)).toBe(
      '- warn: slow worker  step=3 loss=0.1235 members="a, b" worker="w ]0;x"',
    );
  });

  test("predictions are shown best first, as many as asked for", () => {
    const scores = [
      { className: "five", probability: 0.9754 },
      { className: "six\u0007", probability: 0.019 },
      { className: "seven", probability: 0.0056 },
    ];
    expect(predictionLines({ picture: "a.png", scores }, 2)).toEqual([
      "a.png: five 97.5 %, six  1.9 %",
    ]);
  });
});

describe("the terminal", () => {
  function stream(isTTY: boolean): NodeJS.WriteStream & { written: string } {
    const fake = {
      isTTY,
      columns: 30,
      written: "",
      on: () => fake,
      write: (text: string) => {
        fake.written += text;
        return true;
      },
    };
    return fake as unknown as NodeJS.WriteStream & { written: string };
  }

  test("answers know how wide a terminal is, and that a file has no width", () => {
    expect(processTerminal({}, stream(true), stream(true)).columns).toBe(30);
    expect(processTerminal({}, stream(false), stream(true)).columns).toBeUndefined();
  });

  test("a live line is written over, cut to the width, and gone before anything else is written", () => {
    const [stdout, stderr] = [stream(true), stream(true)];
    const shown = processTerminal({}, stdout, stderr);
    shown.live("x".repeat(100));
    shown.note("done");
    expect(stderr.written).toBe(`\r\u001b[2K${"x".repeat(28)}…\r\u001b[2Kdone\n`);
  });

  test("without a terminal there is no live line and no colour", () => {
    const [stdout, stderr] = [stream(false), stream(false)];
    const shown = processTerminal({}, stdout, stderr);
    shown.live("x");
    expect(stderr.written).toBe("");
    expect(shown.paint("red", "x")).toBe("x");
    expect(shown.interactive).toBe(false);
  });

  test.each([
    [{}, "\u001b[31mx\u001b[0m"],
    [{ NO_COLOR: "1" }, "x"],
    [{ NO_COLOR: "" }, "\u001b[31mx\u001b[0m"],
    [{ TERM: "dumb" }, "x"],
  ])("with %j a text is painted as %j", (variables, expected) => {
    const shown = processTerminal(variables, stream(true), stream(true));
    expect(shown.paint("red", "x")).toBe(expected);
  });
});

test("a status that shows only the newest of very many evaluations says where the others are", () => {
  const evaluations = Array.from({ length: 1_000 }, (_, i) => ({
    ...{ step: i + 500, correct: 1, total: 2, loss: 1 },
  }));
  const lines = (shown: typeof evaluations): readonly string[] =>
    statusLines(jobStatus({ evaluations: shown }), { paint: (_, text) => text });
  expect(lines(evaluations).at(-1)).toBe("  older ones: bitfleet logs digits");
  expect(lines(evaluations.slice(1)).at(-1)).not.toContain("older");
});
