import { describe, expect, test } from "vitest";
import type { HeldState } from "../../src/control/message.js";
import { FleetDriver, held, record, upTo } from "./fleetDriver.js";

describe("a copy in reserve", () => {
  /** w1 is lost, w2 goes on alone and falls silent; 2 s later w1 is back with the state. */
  function returned(part: Partial<HeldState> = {}): FleetDriver {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.disconnect("w1");
    driver.pass(1_000, ["w2"]);
    expect(driver.round("w2").members.map(({ workerId }) => workerId)).toEqual(["w2"]);
    driver.pass(2_000);
    driver.hello("w1", { held: held(0, part) });
    return driver;
  }

  test("is kept while no member is heard, and the job goes on from it if they are lost", () => {
    const driver = returned();
    expect(driver.kinds("w1")).toEqual(["welcome"]);
    driver.pass(3_000, ["w1"]);
    expect(driver.said()).toContain("w2 is lost: it was silent for 5000 ms");
    // w2 may be alive, and has the time to return.
    driver.pass(19_750, ["w1"]);
    expect(driver.record()).toMatchObject({ attempt: 1, step: 0, state: "training" });
    expect(driver.round("w1").members.map(({ workerId }) => workerId)).toEqual(["w1"]);
  });

  test("is kept in the step although a member is heard, which may be stuck; then the job goes on from it", () => {
    const driver = returned();
    driver.pass(9_000, ["w1", "w2"]);
    expect(driver.kinds("w1")).toEqual([]);
    driver.say("w2", { kind: "failed", job: "job", attempt: 1, cause: "exit", message: "gone" });
    expect(driver.record()).toMatchObject({ attempt: 1, step: 0, state: "training" });
    expect(driver.round("w1").members.map(({ workerId }) => workerId)).toEqual(["w1"]);
  });

  test("is let go when the step is over", () => {
    const driver = returned();
    driver.report("w2", upTo(8));
    expect(driver.record().step).toBe(1);
    expect(driver.kinds("w1")).toContain("release");
  });

  test.each([
    ["of another attempt", { attempt: 0 }],
    ["older than what was committed", { step: -1 }],
  ])("that is %s is none", (_, part) => {
    expect(returned(part).kinds("w1")).toContain("release");
  });

  test("whose worker comes back without it is lost", () => {
    const driver = returned();
    driver.disconnect("w1");
    driver.hello("w1");
    expect(driver.said()).toContain("w1 is lost: it came back without the state");
  });
});

test("those who did not come back before the job went on are waited for when the others are lost", () => {
  const running = { order: 1, state: "training", attempt: 1, generation: 4, step: 1 } as const;
  const pin = { numerics: "toy", probe: "probe" };
  const driver = new FleetDriver([{ ...record("job"), ...running, pin, members: ["w1", "w2"] }], 2);
  driver.hello("w1", { held: held(1) });
  driver.pass(2_500, ["w1"]);
  expect(driver.round("w1").members.map(({ workerId }) => workerId)).toEqual(["w1"]);
  driver.say("w1", { kind: "failed", job: "job", attempt: 1, cause: "exit", message: "gone" });
  expect(driver.record()).toMatchObject({ attempt: 1, reason: "waits for w2 to come back" });
  driver.hello("w2", { held: held(1) });
  expect(driver.record()).toMatchObject({ attempt: 1, step: 1, state: "training" });
});
