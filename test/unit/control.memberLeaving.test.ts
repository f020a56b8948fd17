import { describe, expect, test } from "vitest";
import type { Range } from "../../src/plan/tree.js";
import { MemberDriver, order, plan } from "./memberDriver.js";

const three: readonly Range[] = [{ first: 0, end: 3 }];

describe("a worker asked to leave", () => {
  const leave = { kind: "leave", reason: "asked", atOnce: false } as const;
  const release = { kind: "release", job: "job", reason: "" } as const;

  test("says so, goes on with what it has until it is released, and ends then", () => {
    const driver = MemberDriver.holding();
    driver.round(three);
    driver.happens(leave);
    expect(driver.said()).toEqual([{ kind: "leaving", reason: "asked" }]);
    for (const shard of [0, 1, 2]) driver.shard(shard);
    driver.summed();
    expect(driver.said()).toMatchObject([{ kind: "report" }]);
    driver.commit(0);
    driver.child({ kind: "applied", step: 1, parameterChecksum: 101 });
    driver.told(release);
    expect(driver.kinds()).toEqual(["close"]);
    driver.child({ kind: "exited", code: 0, signal: null });
    expect(driver.actions).toEqual([
      { kind: "to-coordinator", event: { kind: "released", job: "job" } },
      { kind: "to-coordinator", event: { kind: "leave", reason: "asked" } },
      { kind: "quit", how: "left", reason: "asked" },
    ]);
  });

  test("as one that the coordinator drains does", () => {
    const driver = MemberDriver.holding();
    driver.told({ kind: "drain", reason: "drained" });
    expect(driver.said()).toEqual([{ kind: "leaving", reason: "drained" }]);
    driver.told({ kind: "drain", reason: "drained" });
    expect(driver.actions).toEqual([]);
  });

  test("says it again to a coordinator that may not have heard it", () => {
    const driver = MemberDriver.holding();
    driver.happens({ kind: "disconnected" });
    driver.happens(leave);
    expect(driver.actions).toEqual([]);
    driver.welcomed(2);
    expect(driver.said()).toEqual([{ kind: "leaving", reason: "asked" }]);
  });

  test("takes nothing on any more", () => {
    const driver = MemberDriver.holding();
    driver.happens(leave);
    driver.told({ kind: "prepare", order: { ...order, job: "next" } });
    driver.told({ kind: "task", taskId: "late", task: { kind: "index", settings: plan.settings } });
    expect(driver.actions).toEqual([]);
  });

  test("ends at once where it has no child and no task, and after its last task otherwise", () => {
    const idle = new MemberDriver();
    idle.happens(leave);
    expect(idle.kinds()).toEqual(["quit"]);
    const busy = new MemberDriver();
    busy.welcomed();
    busy.told({ kind: "task", taskId: "one", task: { kind: "index", settings: plan.settings } });
    busy.happens(leave);
    expect(busy.kinds()).toEqual(["leaving"]);
    busy.happens({ kind: "task", event: { kind: "task-done", taskId: "one", result: "" } });
    expect(busy.kinds()).toEqual(["task-done", "leave", "quit"]);
  });

  test.each([
    ["asked a second time", (driver: MemberDriver) => driver.happens({ ...leave, atOnce: true })],
    ["not released in its grace", (driver: MemberDriver) => driver.pass(30_000)],
  ])("leaves at once when %s", (_, hurry) => {
    const driver = MemberDriver.holding();
    driver.happens(leave);
    driver.pass(29_999);
    driver.nowMs -= 29_999;
    expect(driver.kinds()).toEqual(["beat"]);
    hurry(driver);
    expect(driver.kinds().slice(0, 2)).toEqual(["leave", "close"]);
    driver.child({ kind: "exited", code: 0, signal: null });
    expect(driver.kinds()).toEqual(["quit"]);
  });

  test.each([
    [4_999, []],
    [5_000, ["close"]],
  ])("%i ms after its coordinator went away: %j", (ms, kinds) => {
    const driver = MemberDriver.holding();
    driver.happens(leave);
    driver.happens({ kind: "disconnected" });
    driver.pass(0);
    driver.pass(ms);
    expect(driver.kinds()).toEqual(kinds);
  });
});
