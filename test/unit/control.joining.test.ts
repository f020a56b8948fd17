import { describe, expect, test } from "vitest";
import { FleetDriver, upTo } from "./fleetDriver.js";

describe("where the job is below its minimum", () => {
  /** w1 alone holds state 1 of a job that needs two, and a new w2 is ready. */
  function waiting(): FleetDriver {
    const driver = FleetDriver.started(["w1", "w2"], { minWorkers: 2, steps: 20 });
    driver.disconnect("w2");
    driver.pass(1000, ["w1"]);
    driver.report("w1", upTo(8));
    expect(driver.record()).toMatchObject({ step: 1, state: "waiting" });
    driver.hello("w2");
    driver.prepared("w2");
    return driver;
  }

  test("the others wait for a joiner, which gets shards when it has the state", () => {
    const driver = waiting();
    expect(driver.kinds("w1")).toEqual(["offer"]);
    driver.applied("w1", 1);
    driver.loaded("w2", 1);
    expect(driver.said()).toEqual(["w2 joined at step 1"]);
    expect(driver.round("w2")).toMatchObject({ step: 1, followers: [] });
  });

  test("a joiner that takes too long tries again instead of being set aside", () => {
    const driver = waiting();
    driver.applied("w1", 1);
    driver.pass(120_000, ["w1", "w2"]);
    expect(driver.said()).toEqual(["w2 could not join: loading took too long"]);
    expect(driver.kinds("w2")).toEqual(["load"]);
    driver.loaded("w2", 1);
    expect(driver.round("w2")).toMatchObject({ step: 1 });
  });

  test("the donor is to blame only when a joiner fails with a fresh child as well", () => {
    const driver = waiting();
    driver.applied("w1", 1);
    driver.pass(240_000, ["w1", "w2"]);
    expect(driver.kinds("w2")).toContain("release");
    driver.released("w2");
    driver.prepared("w2");
    expect(driver.kinds("w2")).toEqual(["load"]);
    driver.pass(119_000, ["w1", "w2"]);
    expect(driver.said()).toEqual([]);
    driver.pass(1_000, ["w1", "w2"]);
    expect(driver.kinds("w1")).toEqual(["save"]);
    expect(driver.said()).toEqual([]);
    driver.saved("w1", "checkpoint", 1);
    expect(driver.kinds("w2")).toEqual(["load"]);
    driver.pass(120_000, ["w1", "w2"]);
    expect(driver.said()).toContain(
      "w1 is lost: nobody could take its state, and too few hold it to go on without",
    );
    // It went to the store before, so nothing is lost with it.
    expect(driver.said()).toContain("goes on from the checkpoint of step 1");
  });

  /** Beats for 6 s of a worker whose process is stopped. */
  function silent(driver: FleetDriver, workerId: string, others: readonly string[]): string[] {
    const said: string[] = [];
    for (let i = 1; i <= 24; i += 1) {
      driver.pass(250, others);
      said.push(...driver.said());
      driver.say(workerId, {
        ...{ kind: "beat", phase: "", waitingFor: [], natsAgeMs: 1, shardsDone: 0 },
        ...{ residentBytes: 1, childSilentMs: 250 * i + 500, unitMs: -1 },
      });
      said.push(...driver.said());
    }
    return said;
  }

  test("a joiner whose process is stopped is set aside, and not waited for", () => {
    const driver = waiting();
    driver.applied("w1", 1);
    expect(silent(driver, "w2", ["w1"])).toEqual([
      "w2 is set aside: its process says nothing while it is to join",
    ]);
    expect(driver.run?.phase.kind).toBe("boundary");
  });

  test("a donor whose process is stopped is waited for where nobody else holds the state", () => {
    const driver = waiting();
    expect(silent(driver, "w1", ["w2"])).toEqual([]);
    expect(driver.run?.phase).toMatchObject({ kind: "joining", donor: "w1" });
  });

  test("a donor whose process is stopped is given up for another one that holds the state", () => {
    const driver = FleetDriver.started(["w1", "w2", "w3"], { minWorkers: 3, steps: 20 });
    driver.disconnect("w3");
    driver.pass(1000, ["w1", "w2"]);
    driver.reportAll();
    driver.hello("w4");
    driver.prepared("w4");
    expect(driver.run?.phase).toMatchObject({ kind: "joining", donor: "w1" });
    driver.applied("w1", 1);
    driver.applied("w2", 1);
    expect(silent(driver, "w1", ["w2", "w4"])).toContain(
      "w1 is lost: its process says nothing while others take its state",
    );
    expect(driver.run?.phase).toMatchObject({ kind: "joining", donor: "w2" });
  });
});
