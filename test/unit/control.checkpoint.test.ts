import { describe, expect, test } from "vitest";
import type { WorkerEvent } from "../../src/control/message.js";
import { FleetDriver, upTo } from "./fleetDriver.js";

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
