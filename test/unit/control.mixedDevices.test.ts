import { describe, expect, test } from "vitest";
import { FleetDriver, record } from "./fleetDriver.js";

describe("with mixed devices", () => {
  /** w1 counts as "a", w2 as "b"; joiners of those kinds begin to follow at state 1. */
  function mixed(joiners: readonly (readonly [string, string])[]): FleetDriver {
    const driver = new FleetDriver();
    driver.hello("w1", { numerics: "a" });
    driver.hello("w2", { numerics: "b" });
    const request = { mixedDevices: true, steps: 60, checkpointEvery: 0 };
    driver.happens({ kind: "submit", record: record("job", request) });
    for (const id of ["w1", "w2"]) driver.prepared(id, `probe of ${id}`);
    for (const id of ["w1", "w2"]) driver.loaded(id);
    for (const [id, numerics] of joiners) {
      driver.hello(id, { numerics });
      driver.prepared(id, `probe of ${id}`);
    }
    driver.reportAll();
    return driver;
  }

  function donorOf(driver: FleetDriver, workerId: string): string | undefined {
    const stage = driver.run?.participants.get(workerId)?.stage;
    return stage?.kind === "following" ? stage.donor : undefined;
  }

  test.each([
    ["a", "b", "w1", "w2"],
    ["b", "a", "w2", "w1"],
    ["b", "b", "w2", "w2"],
    ["a", "a", "w1", "w1"],
  ])(
    "joiners of %s and %s take the state from one of their own kind",
    (third, fourth, ...donors) => {
      const driver = mixed([
        ["w3", third],
        ["w4", fourth],
      ]);
      expect(["w3", "w4"].map((id) => donorOf(driver, id))).toEqual(donors);
    },
  );

  test("a joiner waits for the one donor of its kind rather than take another's state", () => {
    const driver = mixed([["w3", "b"]]);
    driver.hello("w4", { numerics: "b" });
    driver.prepared("w4", "probe of w4");
    driver.reportAll();
    expect(donorOf(driver, "w4")).toBeUndefined();
    driver.applied("w3", 2);
    driver.reportAll();
    driver.report("w3", []);
    expect(driver.said()).toContain("w3 joined at step 3");
    expect(donorOf(driver, "w4")).toMatch(/^w[23]$/);
  });

  test("a joiner of a kind that nobody is takes it from any", () => {
    expect(donorOf(mixed([["w3", "c"]]), "w3")).toMatch(/^w[12]$/);
  });
});
