import { expect, test } from "vitest";
import type { LogLine } from "../../src/client/client.js";
import { lostSteps, numberingProblems, storyProblems, wronglyBlamed } from "../chaos/ledger.js";
import { costs, examplesPerSecond } from "../chaos/measure.js";

type Fields = LogLine["fields"];

/** Lines a second apart. */
function log(...told: readonly (readonly [string, Fields])[]): readonly LogLine[] {
  return told.map(([message, fields], i) => ({
    ...{ sequence: i + 1, timeMs: 1000 * i, level: "info", message, fields },
  }));
}

function step(count: number, loss = 1 / count): readonly [string, Fields] {
  return [`step ${count} of 3`, { step: count, loss, rate: 0.003, epoch: 1 }];
}

const evaluated: readonly [string, Fields] = [
  "evaluation at step 3: 4/7 correct (57.1 %)",
  { step: 3, correct: 4, total: 7, loss: 0.5 },
];

function begins(attempt: number, members: string): readonly [string, Fields] {
  return [`attempt ${attempt} begins with 2 workers`, { members }];
}

const undisturbed = log(begins(1, "a"), step(1), step(2), step(3), evaluated);

test("the same story under other circumstances is the same", () => {
  const lost = ["b is lost: it is gone", { worker: "b", step: 1 }] as const;
  const told = log(begins(1, "a, b"), step(1), lost, step(2), step(3), evaluated);
  expect(storyProblems(told, undisturbed)).toEqual([]);
});

test.each([
  ["a step twice", [step(1), step(2), step(2), step(3), evaluated], "step 2 is logged 2 times"],
  ["a step missing", [step(1), step(3), evaluated], "step 2 is not logged"],
  ["another loss", [step(1), step(2, 0.6), step(3), evaluated], "step 2 has loss 0.6"],
  ["a step too many", [step(1), step(2), step(3), evaluated, step(4)], "step 4 should not be"],
  ["no evaluation", [step(1), step(2), step(3)], "the evaluation at step 3 is not logged"],
  ["another order", [step(2), step(1), step(3), evaluated], "out of order"],
] as const)("%s is told", (_, lines, problem) => {
  expect(storyProblems(log(...lines), undisturbed).join("\n")).toContain(problem);
});

test("a gap in the numbers of the lines is told", () => {
  expect(numberingProblems(undisturbed)).toEqual([]);
  expect(numberingProblems(undisturbed.slice(1))).toEqual(["line 1 of the log has the number 2"]);
});

test("going back to a checkpoint is a loss only while a worker with the state lives", () => {
  const lines = log(begins(1, "a, b"), step(1), begins(2, "c"));
  const [a, b] = [
    { worker: "a", atMs: 500 },
    { worker: "b", atMs: 1500 },
  ];
  expect(lostSteps(lines, [a, b])).toEqual([]);
  expect(lostSteps(lines, [a]).join()).toContain("although b held the state");
  expect(lostSteps(lines, [a, { worker: "b", atMs: 2500 }])).toHaveLength(1);
});

test("a worker that joined holds the state, one that was lost beside another does not", () => {
  const joined = ["c joined at step 1", { worker: "c" }] as const;
  const lost = ["c is lost: no beat", { worker: "c" }] as const;
  const deaths = [
    { worker: "a", atMs: 2500 },
    { worker: "b", atMs: 2500 },
  ];
  const held = log(begins(1, "a, b"), step(1), joined, begins(2, "c"));
  expect(lostSteps(held, deaths)).toHaveLength(1);
  const gone = log(begins(1, "a, b"), joined, lost, begins(2, "c"));
  expect(lostSteps(gone, deaths)).toEqual([]);
});

test("the last holder is not lost by being out of reach", () => {
  const lost = ["a is lost: no beat", { worker: "a" }] as const;
  const lines = log(begins(1, "a"), step(1), lost, begins(2, "c"));
  expect(lostSteps(lines, [])).toHaveLength(1);
});

test("another attempt from the very step that was committed last loses nothing", () => {
  const saved = ["attempt 2 begins from step 1", { members: "b", step: 1 }] as const;
  expect(lostSteps(log(begins(1, "a"), step(1), saved), [])).toEqual([]);
  expect(lostSteps(log(begins(1, "a"), step(1), step(2), saved), [])).toHaveLength(1);
});

test("a line on the join of a worker that has just been killed counts for nothing", () => {
  const joined = ["b joined at step 1", { worker: "b" }] as const;
  const lines = log(begins(1, "a"), joined, begins(2, "c"));
  const deaths = [
    { worker: "b", atMs: 900 },
    { worker: "a", atMs: 1500 },
  ];
  expect(lostSteps(lines, deaths)).toEqual([]);
});

test("nobody is to be lost for a fault of NATS or of the coordinator alone", () => {
  const lines = log(begins(1, "a"), ["a is lost: no beat", { worker: "a" }]);
  const stop = { kind: "nats-stop", startMs: 0, endMs: 500 } as const;
  expect(wronglyBlamed(lines, [stop]).join()).toContain("nothing but nats-stop");
  const kill = { kind: "worker-kill", startMs: 800, endMs: 800 } as const;
  expect(wronglyBlamed(lines, [stop, kill])).toEqual([]);
  expect(wronglyBlamed(lines, [{ ...stop, startMs: 1500 }])).toEqual([]);
  expect(wronglyBlamed(lines, [])).toEqual([]);
});

test("what a fault costs is counted from when it came, from its end, and as the longest pause", () => {
  const commits = [1000, 2000, 5000, 5500, 9000].map((atMs, i) => ({ step: i + 1, atMs }));
  const fault = { kind: "nats-stop", worker: 0, hit: true, startMs: 2500, endMs: 4000 } as const;
  const [cost] = costs([fault, { ...fault, hit: false }], commits);
  expect(cost).toMatchObject({ kind: "nats-stop", count: 1, missed: 1, pauseMs: 3500 });
  expect(cost?.nextMs.worst).toBe(2500);
  expect(cost?.afterMs.worst).toBe(1000);
  expect(examplesPerSecond(commits, 10, { fromMs: 1000, toMs: 5500 })).toBeCloseTo(40 / 4.5);
});
