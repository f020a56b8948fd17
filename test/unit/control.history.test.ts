import { describe, expect, test } from "vitest";
import { loggedIn } from "../../src/control/history.js";
import type { WorkerEvent, StepFacts } from "../../src/control/message.js";
import type { JobRecord } from "../../src/control/record.js";
import { FleetDriver, held, record, upTo } from "./fleetDriver.js";

const running: JobRecord = {
  ...record("job", { steps: 9 }),
  ...{ order: 1, state: "training", attempt: 1, generation: 4, step: 2, members: ["w1", "w2"] },
  trail: [facts(0), facts(1)],
  pin: { numerics: "toy", probe: "probe" },
};

function facts(step: number, sumChecksum = 7): StepFacts {
  return { step, loss: 0.5, sumChecksum };
}

function restarted(loggedStep: number, part: Partial<JobRecord> = {}): FleetDriver {
  const logged = new Map([["job", { step: loggedStep, hasEvaluation: false }]]);
  return new FleetDriver([{ ...running, ...part }], 2, logged);
}

function steps(driver: FleetDriver): readonly string[] {
  return driver.said().filter((message) => message.startsWith("step "));
}

describe("after a start of the coordinator", () => {
  test("a job goes on at once when all members of its generation are back", () => {
    const driver = restarted(2);
    driver.hello("w1", { held: held(2) });
    expect(driver.kinds("w1")).toEqual(["welcome"]);
    driver.hello("w2", { held: held(2) });
    expect(driver.kinds("w1")).toEqual(["round"]);
  });

  test("a member that comes back as a new process is not waited for", () => {
    const driver = restarted(2);
    driver.hello("w1", { held: held(2) });
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.record()).toMatchObject({ state: "training", step: 2, attempt: 1 });
  });

  test.each([
    [2_250, []],
    [2_500, ["round"]],
  ])("after %i ms nobody more is waited for if one holds the state", (ms, kinds) => {
    const driver = restarted(2);
    driver.hello("w1", { held: held(2) });
    driver.pass(ms, ["w1"]);
    expect(driver.kinds("w1").filter((kind) => kind === "round")).toEqual(kinds);
  });

  test("while a holder may be alive nothing is given up", () => {
    const driver = restarted(2);
    driver.hello("w1", { held: held(1) });
    driver.pass(19_750, ["w1"]);
    expect(driver.record().attempt).toBe(1);
    driver.pass(250, ["w1"]);
    expect(driver.record().attempt).toBe(2);
  });

  test("the lines that the log lacks are written from what record and workers know, once", () => {
    const driver = restarted(1);
    driver.happens({ kind: "tick" });
    expect(steps(driver)).toEqual(["step 2 of 9"]);
    const trail = [facts(1), facts(2), facts(3)];
    driver.hello("w1", { held: held(4, { trail }) });
    driver.hello("w2", { held: held(4) });
    expect(steps(driver)).toEqual(["step 3 of 9", "step 4 of 9"]);
    expect(driver.record()).toMatchObject({ step: 4, loss: 0.5 });
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    expect(steps(driver)).toEqual(["step 5 of 9"]);
  });

  test("a step that is decided again has no second line", () => {
    const driver = restarted(3);
    driver.hello("w1", { held: held(2) });
    driver.hello("w2", { held: held(2) });
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    expect(driver.record().step).toBe(3);
    expect(steps(driver)).toEqual([]);
  });

  test("who was told to apply a step counts as holding what comes of it", () => {
    const driver = restarted(2);
    driver.hello("w1", { held: held(2, { trail: [facts(2)] }) });
    driver.hello("w2", { held: held(2, { summed: true }) });
    expect(driver.record().step).toBe(3);
    expect(driver.sent("w2")).toMatchObject([
      { kind: "welcome" },
      { kind: "commit", step: 2, facts: facts(2) },
      { kind: "round", step: 3 },
    ]);
  });
});

describe("a replay", () => {
  function replaying(): FleetDriver {
    const driver = restarted(2, { step: 0, generation: 0, members: [], state: "queued" });
    driver.hello("w1");
    driver.prepared("w1");
    driver.loaded("w1", 0);
    return driver;
  }

  test("is announced, and its steps are logged once", () => {
    const driver = replaying();
    expect(driver.said()).toContain("replays steps 1 to 2, which the log has already");
    const told = [1, 2, 3].flatMap(() => {
      driver.report("w1", upTo(8));
      return steps(driver);
    });
    expect(driver.record().step).toBe(3);
    expect(told).toEqual(["step 3 of 9"]);
  });

  test("that comes out differently ends the job, with both checksums", () => {
    const driver = replaying();
    driver.report("w1", upTo(8), { sumChecksum: 8 });
    expect(driver.record().reason).toContain(
      "step 0 was done again and came out differently: its sum has checksum 8 and had 7",
    );
  });
});

describe("a checkpoint that cannot be used", () => {
  const checkpoints = [
    { step: 2, attempt: 1, name: "b" },
    { step: 1, attempt: 1, name: "a" },
  ];

  function loading(workers: readonly string[]): FleetDriver {
    const driver = new FleetDriver([{ ...running, checkpoints, state: "queued" }]);
    for (const id of workers) driver.hello(id);
    for (const id of workers) driver.prepared(id);
    return driver;
  }

  function unreadable(driver: FleetDriver, workerId: string): void {
    const { attempt } = driver.record();
    driver.say(workerId, {
      ...{ kind: "failed", job: "job", attempt, cause: "checkpoint", message: "it is torn" },
    });
  }

  test("by anyone is given up for the one before it, with a word", () => {
    const driver = loading(["w1", "w2"]);
    unreadable(driver, "w1");
    expect(driver.record().checkpoints).toHaveLength(2);
    unreadable(driver, "w2");
    expect(driver.record()).toMatchObject({ step: 1, attempt: 3, checkpoints: [{ step: 1 }] });
    expect(driver.said()).toEqual([
      "the checkpoint of step 2 is given up, goes back to step 1: it is torn",
    ]);
  });

  test("by one worker alone costs that worker the attempt", () => {
    const driver = loading(["w1", "w2"]);
    unreadable(driver, "w1");
    driver.loaded("w2", 2);
    expect(driver.record()).toMatchObject({ step: 2, attempt: 2, members: ["w2"] });
    expect(driver.said()).toContain("w1 is set aside: it is torn");
  });
});

test("what a log shows is told by what its lines are of, and not by any words", () => {
  const said = { fields: { step: 9, event: "step", message: "step 9 of 9" } };
  const step = (reached: number) => ({ event: "step", fields: { step: reached } }) as const;
  expect(loggedIn([said])).toBeUndefined();
  const lines = [step(4), step(5), said];
  expect(loggedIn(lines)).toEqual({ step: 5, hasEvaluation: false });
  const evaluation = { event: "evaluation", fields: { step: 5 } } as const;
  expect(loggedIn([...lines, evaluation, said])).toEqual({ step: 5, hasEvaluation: true });
  expect(loggedIn([...lines, evaluation, step(6)])).toEqual({ step: 6, hasEvaluation: false });
});

describe("a worker's line", () => {
  const line = (job: string): WorkerEvent => ({
    ...{ kind: "log", job, level: "info", message: "step 9 of 9" },
    fields: { step: 9, worker: "w2", event: "step" },
  });

  test("is in the log of its own job, under its own name and as its own words", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.say("w1", line("job"));
    const [told] = driver.commands.filter(({ kind }) => kind === "log");
    expect(told).toEqual({
      ...{ kind: "log", job: "job", level: "info", message: "step 9 of 9" },
      fields: { worker: "w1" },
      said: { step: 9, worker: "w2", event: "step" },
    });
    driver.happens({ kind: "cancel", job: "job" });
    driver.say("w1", line("job"));
    expect(driver.said()).toEqual(["step 9 of 9"]);
  });

  test("is in no other job's log, whether there is such a job or not", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.hello("w2");
    driver.happens({ kind: "submit", record: record("other", { minWorkers: 2 }) });
    for (const job of ["other", "unknown"]) {
      driver.say("w1", line(job));
      expect(driver.said()).toEqual([]);
    }
    driver.hello("w3", { numerics: "another" });
    driver.say("w3", line("job"));
    expect(driver.said()).toEqual([]);
  });
});
