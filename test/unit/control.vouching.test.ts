import { describe, expect, test } from "vitest";
import { FleetDriver } from "./fleetDriver.js";

/** A job whose last step is told to be applied. */
function finished(workers: readonly string[], steps = 1): FleetDriver {
  const driver = FleetDriver.started(workers, { steps, checkpointEvery: 1 });
  for (let at = 1; at <= steps; at += 1) {
    driver.reportAll();
    if (at < steps) driver.saved("w1", "checkpoint", at);
  }
  return driver;
}

function stageOf(driver: FleetDriver, workerId: string): string | undefined {
  return driver.run?.participants.get(workerId)?.stage.kind;
}

describe("weights are saved", () => {
  test("when all members have said the same of them", () => {
    const driver = finished(["w1", "w2"]);
    expect(driver.record().state).toBe("saving");
    driver.applied("w2", 1);
    expect(driver.commands.filter(({ kind }) => kind === "send")).toEqual([]);
    driver.applied("w1", 1);
    expect(driver.sent("w1")).toMatchObject([{ kind: "save", what: "weights" }]);
  });

  test("by one of those who agree; the odd one takes a copy of theirs, and what it writes is nothing", () => {
    const driver = finished(["w1", "w2", "w3"]);
    driver.applied("w1", 1, 5);
    driver.applied("w2", 1);
    driver.applied("w3", 1);
    expect(driver.said()).toContain(
      "w1 takes a copy of the others' state: its parameters of step 1 have checksum 5, and 101 on the others",
    );
    expect(driver.kinds("w1")).toEqual([]);
    expect(driver.sent("w2")).toMatchObject([{ kind: "save", what: "weights" }]);
    expect(driver.record().members).toEqual(["w2", "w3"]);
    driver.saved("w1", "weights", 1);
    expect(driver.record().weights).toBeUndefined();
    driver.saved("w2", "weights", 1);
    expect(driver.record().weights).toMatchObject({ parameterDigest: "digest" });
  });

  test("after the last steps are done again where two differ and nobody can tell who is right", () => {
    const driver = finished(["w1", "w2"], 2);
    driver.applied("w1", 2);
    driver.applied("w2", 2, 5);
    expect(driver.record()).toMatchObject({ attempt: 2, step: 1, weights: undefined });
  });

  test("without the word of a member that says nothing, after a while, by one that has said", () => {
    const driver = finished(["w1", "w2"]);
    driver.applied("w2", 1);
    driver.pass(750, ["w1", "w2"]);
    expect(driver.kinds("w2")).toEqual([]);
    driver.pass(250, ["w1", "w2"]);
    expect(driver.sent("w2")).toMatchObject([{ kind: "save", what: "weights" }]);
  });

  test("by another member when one is told to have others while it writes", () => {
    const driver = finished(["w1", "w2", "w3"]);
    driver.applied("w1", 1, 5);
    driver.pass(1_000, ["w1", "w2", "w3"]);
    expect(driver.sent("w1")).toMatchObject([{ kind: "save", what: "weights" }]);
    driver.applied("w2", 1);
    expect(driver.record()).toMatchObject({ state: "saving", attempt: 1 });
    driver.applied("w3", 1);
    expect(stageOf(driver, "w1")).not.toBe("member");
    expect(driver.sent("w2")).toMatchObject([{ kind: "save", what: "weights" }]);
  });

  test("at once by the only member", () => {
    const driver = finished(["w1"]);
    expect(driver.sent("w1").at(-1)).toMatchObject({ kind: "save", what: "weights" });
  });
});

describe("the checkpoint before a cancel", () => {
  test("is written by one of those who agree", () => {
    const driver = FleetDriver.started(["w1", "w2", "w3"], { steps: 9, checkpointEvery: 0 });
    driver.reportAll();
    driver.happens({ kind: "cancel", job: "job" });
    driver.applied("w1", 1, 5);
    driver.applied("w2", 1);
    driver.applied("w3", 1);
    expect(driver.kinds("w1")).toEqual([]);
    expect(driver.sent("w2")).toMatchObject([{ kind: "save", what: "checkpoint" }]);
  });

  test("is none where two differ; the job is cancelled all the same", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 9, checkpointEvery: 0 });
    driver.reportAll();
    driver.happens({ kind: "cancel", job: "job" });
    driver.applied("w1", 1);
    driver.applied("w2", 1, 5);
    for (const id of ["w1", "w2"]) driver.released(id);
    expect(driver.record()).toMatchObject({ state: "cancelled", checkpoints: [] });
  });
});

test("a cancelled job ends as cancelled, however often nobody could say whose state is right", () => {
  const driver = FleetDriver.started(["w1", "w2"], { steps: 9 });
  for (let attempt = 1; attempt <= 4; attempt += 1) {
    driver.reportAll();
    expect(driver.record()).toMatchObject({ attempt, step: 1 });
    if (attempt === 4) driver.happens({ kind: "cancel", job: "job" });
    driver.applied("w1", 1);
    driver.applied("w2", 1, 5);
    driver.pass(1000, ["w1", "w2"]);
    for (const id of ["w1", "w2"]) driver.released(id);
    if (attempt === 4) break;
    for (const id of ["w1", "w2"]) driver.prepared(id);
    for (const id of ["w1", "w2"]) driver.loaded(id);
  }
  expect(driver.record()).toMatchObject({ state: "cancelled" });
});
