import { describe, expect, test } from "vitest";
import { FleetDriver, held, upTo } from "./fleetDriver.js";

/** Three workers in the first round: 0 to 2, 3 to 5, 6 and 7. */
function three(): FleetDriver {
  return FleetDriver.started(["w1", "w2", "w3"]);
}

function summed(driver: FleetDriver, sums: readonly number[]): void {
  driver.round("w1").members.forEach(({ workerId, ranges }, i) => {
    const shards = ranges.flatMap(({ first, end }) => upTo(end, first));
    driver.report(workerId, shards, { sumChecksum: sums[i] ?? 0 });
  });
}

describe("what a worker made that is lost before it has reported it", () => {
  test("is not in the sum", () => {
    const driver = three();
    driver.report("w1", upTo(3));
    driver.hello("w3", { incarnation: "w3.2" });
    expect(driver.round("w1")).toMatchObject({ generation: 2, trial: 2 });
    expect(driver.round("w1").members.some(({ finished }) => finished)).toBe(false);
  });

  test("is not in the sum either where the coordinator has started again meanwhile", () => {
    const driver = three();
    const again = new FleetDriver([...driver.records.values()], 2);
    again.hello("w1", { held: held(0, { ranges: [{ first: 0, end: 3 }] }) });
    again.hello("w2", { held: held(0, { ranges: [{ first: 3, end: 6 }] }) });
    again.pass(6000, ["w1", "w2"]);
    expect(again.round("w1").trial).toBe(again.record().generation);
  });

  test("and what was reported to an earlier coordinator is not in it, also where others have taken it over", () => {
    const driver = three();
    driver.report("w3", [6, 7]);
    driver.hello("w3", { incarnation: "w3.2" });
    expect(driver.round("w1").trial).toBe(0);
    const again = new FleetDriver([...driver.records.values()], 2);
    const range = (first: number, end: number) => ({ first, end });
    again.hello("w1", { held: held(0, { ranges: [range(0, 3), range(6, 7)] }) });
    again.hello("w2", { held: held(0, { ranges: [range(3, 6), range(7, 8)] }) });
    expect(again.round("w1")).toMatchObject({ step: 0, trial: again.record().generation });
  });

  test("takes nothing from the state of those who come back with the trial before", () => {
    const driver = three();
    driver.hello("w3", { incarnation: "w3.2" });
    expect(driver.round("w1").trial).toBe(2);
    const again = new FleetDriver([...driver.records.values()], 2);
    again.hello("w1", { held: held(0, { ranges: [{ first: 0, end: 3 }] }) });
    expect(again.kinds("w1")).toEqual(["welcome"]);
    again.pass(6000, ["w1"]);
    expect(again.record()).toMatchObject({ attempt: 1, state: "training" });
    expect(again.round("w1").trial).toBeGreaterThanOrEqual(2);
  });
});

describe("where the numbers of a round were found wrong", () => {
  const doubted = (): FleetDriver => {
    const driver = three();
    summed(driver, [7, 8, 7]);
    return new FleetDriver([...driver.records.values()], 2);
  };

  test("what others of its trial come back with later is of no use", () => {
    const again = doubted();
    again.hello("w3", { held: held(0, { ranges: [{ first: 6, end: 8 }] }) });
    expect(again.kinds("w3")).toEqual(["welcome", "release"]);
  });

  test("who made nothing of it is taken back, and who is in the new trial", () => {
    const again = doubted();
    again.hello("w1", { held: held(0, { ranges: [{ first: 0, end: 3 }], trial: 2 }) });
    expect(again.kinds("w1")).toEqual(["welcome"]);
    again.hello("w2", { held: held(0) });
    expect(again.kinds("w2")).toEqual(["welcome"]);
  });
});

test("a holder that knows of a later trial than the record makes a new one for all", () => {
  const driver = three();
  const again = new FleetDriver([...driver.records.values()], 2);
  again.hello("w1", { held: held(0, { ranges: [{ first: 0, end: 8 }], trial: 1 }) });
  again.pass(6000, ["w1"]);
  const { trial, generation } = again.round("w1");
  expect(trial).toBe(generation);
});
