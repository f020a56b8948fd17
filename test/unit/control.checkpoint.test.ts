import { describe, expect, test } from "vitest";
import type { WorkerEvent } from "../../src/control/message.js";
import { FleetDriver, held, record, upTo } from "./fleetDriver.js";

describe("a checkpoint of a state that turns out wrong on some worker", () => {
  /** Each step is kept; w1 has been told to keep state 2. */
  function kept(workers: readonly string[]): FleetDriver {
    const driver = FleetDriver.started(workers, { steps: 5, checkpointEvery: 1 });
    for (const at of [1, 2]) {
      for (const { workerId, ranges } of driver.round("w1").members) {
        driver.report(
          workerId,
          ranges.flatMap(({ first, end }) => upTo(end, first)),
        );
      }
      const told = driver.commands;
      if (at === 1) driver.saved("w1", "checkpoint", 1);
      driver.commands = told;
    }
    return driver;
  }

  function checkpoints(driver: FleetDriver): readonly number[] {
    return driver.record().checkpoints.map(({ step }) => step);
  }

  test("is none to go back to when that worker wrote it", () => {
    const driver = kept(["w1", "w2", "w3"]);
    driver.saved("w1", "checkpoint", 2);
    expect(checkpoints(driver)).toEqual([2, 1]);
    driver.applied("w1", 2, 5);
    driver.applied("w2", 2);
    driver.applied("w3", 2);
    expect(driver.said()[0]).toBe(
      "the checkpoint of step 2 is given up: its parameters may be wrong",
    );
    expect(checkpoints(driver)).toEqual([1]);
  });

  test("is none either when that is heard before it is written", () => {
    const driver = kept(["w1", "w2", "w3"]);
    driver.applied("w1", 2, 5);
    driver.applied("w2", 2);
    driver.applied("w3", 2);
    driver.saved("w1", "checkpoint", 2);
    expect(checkpoints(driver)).toEqual([1]);
  });

  test("is as good as before when another one wrote it", () => {
    const driver = kept(["w1", "w2", "w3"]);
    driver.saved("w1", "checkpoint", 2);
    driver.applied("w1", 2);
    driver.applied("w2", 2, 5);
    driver.applied("w3", 2);
    expect(checkpoints(driver)).toEqual([2, 1]);
  });

  test("is given up where nobody can say whose state is right", () => {
    const driver = kept(["w1", "w2"]);
    driver.saved("w1", "checkpoint", 2);
    driver.applied("w1", 2);
    driver.applied("w2", 2, 5);
    expect(driver.record()).toMatchObject({ attempt: 2, step: 1 });
    expect(driver.said()).toContain(
      "the parameters of step 2 have checksum 102 on w1 and 5 on w2: goes back to step 1",
    );
  });

  test("stays where the state that goes wrong was loaded from it", () => {
    const driver = kept(["w1", "w2"]);
    driver.saved("w1", "checkpoint", 2);
    for (const id of ["w1", "w2"]) driver.hello(id, { incarnation: `${id}.2` });
    const say = (id: string, event: WorkerEvent): void => {
      driver.say(id, event, `${id}.2`);
    };
    const of = { job: "job", attempt: 2 } as const;
    for (const id of ["w1", "w2"]) say(id, { kind: "released", job: "job" });
    for (const id of ["w1", "w2"]) say(id, { kind: "prepared", ...of, probe: "probe" });
    for (const id of ["w1", "w2"]) {
      say(id, { kind: "loaded", ...of, step: 2, parameterChecksum: 102 });
    }
    expect(driver.record()).toMatchObject({ state: "training", attempt: 2, step: 2 });
    say("w1", { kind: "applied", ...of, step: 2, parameterChecksum: 5 });
    expect(driver.said()[0]).toMatch(/^w1 takes a copy of the others' state/);
    expect(checkpoints(driver)).toEqual([2, 1]);
  });
});

describe("a checkpoint beside the training whose writer is lost", () => {
  /** w1 has been told to keep state 1. */
  function asked(): FleetDriver {
    const driver = FleetDriver.started(["w1", "w2", "w3"], { steps: 9, checkpointEvery: 4 });
    for (let at = 0; at < 4; at += 1) driver.reportAll();
    expect(driver.sent("w1")).toContainEqual(
      expect.objectContaining({ kind: "commit", save: true }),
    );
    return driver;
  }

  test("before it was written is asked of another, until one has", () => {
    const driver = asked();
    driver.hello("w1", { incarnation: "w1.2" });
    expect(driver.kinds("w2")).toContain("save");
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.kinds("w3")).toContain("save");
    driver.saved("w3", "checkpoint", 4);
    expect(driver.record().checkpoints[0]?.step).toBe(4);
    driver.reportAll();
    expect(driver.record().step).toBe(5);
    driver.pass(1000, ["w3"]);
    expect(driver.kinds("w3")).not.toContain("save");
  });

  test("is asked of nobody else where it cannot be written", () => {
    const driver = asked();
    const failed = { kind: "save-failed", job: "job", attempt: 1, step: 4 } as const;
    driver.say("w1", { ...failed, what: "checkpoint", message: "full" });
    driver.hello("w1", { incarnation: "w1.2" });
    expect(driver.kinds("w2")).not.toContain("save");
  });

  test("is told again to one that missed the commit", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 9, checkpointEvery: 1 });
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    driver.disconnect("w1");
    driver.hello("w1", { held: held(0, { summed: true }) });
    expect(driver.sent("w1")[1]).toMatchObject({ kind: "commit", step: 0, save: true });
    driver.disconnect("w2");
    driver.hello("w2", { held: held(0, { summed: true }) });
    expect(driver.sent("w2")[1]).toMatchObject({ kind: "commit", step: 0, save: false });
  });

  test("is asked of another also a step later", () => {
    const driver = asked();
    driver.reportAll();
    driver.hello("w1", { incarnation: "w1.2" });
    expect(driver.kinds("w2")).toContain("save");
  });

  test("is of that step, and not of the next one that its writer misses", () => {
    const driver = asked();
    driver.reportAll();
    driver.disconnect("w1");
    driver.hello("w1", { held: held(4, { summed: true }) });
    expect(driver.sent("w1")[1]).toMatchObject({ kind: "commit", step: 4, save: false });
  });

  test("is asked of who comes back with the state, where all were lost", () => {
    const driver = asked();
    for (const id of ["w1", "w2", "w3"]) driver.disconnect(id);
    driver.pass(1000);
    driver.hello("w2", { held: held(4) });
    driver.pass(5000, ["w2"]);
    expect(driver.said()).toContain("goes on from step 4 with 1 worker");
    expect(driver.kinds("w2")).toContain("save");
  });

  test("is asked of nobody in the next attempt", () => {
    const driver = FleetDriver.started(["w1", "w2"], { checkpointEvery: 1 });
    driver.reportAll();
    driver.hello("w2", { incarnation: "w2.2" });
    driver.hello("w1", { incarnation: "w1.2", numerics: "other" });
    driver.say("w2", { kind: "released", job: "job" }, "w2.2");
    const of = { job: "job", attempt: 2 };
    driver.say("w2", { kind: "prepared", ...of, probe: "probe" }, "w2.2");
    driver.say("w2", { kind: "loaded", ...of, step: 0, parameterChecksum: 100 }, "w2.2");
    expect(driver.kinds("w2")).toEqual(["round"]);
  });

  test("stays where nobody of its writer's arithmetic is left to compare it with", () => {
    const driver = new FleetDriver();
    driver.hello("w1", { numerics: "a" });
    driver.hello("w2", { numerics: "b" });
    const request = { mixedDevices: true, checkpointEvery: 1 };
    driver.happens({ kind: "submit", record: record("job", request) });
    for (const id of ["w1", "w2"]) driver.prepared(id, `probe of ${id}`);
    for (const id of ["w1", "w2"]) driver.loaded(id);
    driver.reportAll();
    driver.applied("w1", 1);
    driver.saved("w1", "checkpoint", 1);
    driver.hello("w1", { incarnation: "w1.2", numerics: "a" });
    driver.reportAll();
    expect(driver.record()).toMatchObject({ step: 2, checkpoints: [{ step: 1 }] });
  });

  test.each([
    ["nothing", undefined, false],
    ["another state than the others", 5, false],
    ["the same state as the others", 104, true],
  ])("after it said %s: checksum %s, it stays: %s", (_, checksum, stays) => {
    const driver = asked();
    if (checksum !== undefined) driver.applied("w1", 4, checksum);
    driver.saved("w1", "checkpoint", 4);
    driver.hello("w1", { incarnation: "w1.2" });
    for (const id of ["w2", "w3"]) driver.applied(id, 4);
    driver.reportAll();
    expect(driver.record().step).toBe(5);
    expect(driver.record().checkpoints.map(({ step }) => step)).toEqual(stays ? [4] : []);
    expect(driver.kinds("w2").includes("save")).toBe(!stays);
  });
});
