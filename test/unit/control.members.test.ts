import { expect, test } from "vitest";
import { fleetTimes } from "../../src/control/fleetEvent.js";
import { workerStatuses } from "../../src/control/view.js";
import { FleetDriver, held, record } from "./fleetDriver.js";

function stateOf(driver: FleetDriver, workerId: string): string | undefined {
  return workerStatuses(driver.fleet, driver.nowMs).find(({ id }) => id === workerId)?.state;
}

test("a hello is welcomed with what a worker has to know", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  const nats = { url: "nats", user: "", secret: "" };
  expect(driver.sent("w1")).toEqual([
    { kind: "welcome", leaseMs: 5000, beatMs: 500, nats, store: "/store" },
  ]);
});

test.each([
  [4999, "idle"],
  [5000, "lost"],
])("a worker that has been silent for %i ms is %s", (ms, state) => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.pass(ms);
  expect(stateOf(driver, "w1")).toBe(state);
});

test("whatever a worker says extends its lease", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.pass(4999);
  driver.beat("w1", 0);
  driver.pass(4999);
  expect(stateOf(driver, "w1")).toBe("idle");
  driver.pass(1);
  expect(stateOf(driver, "w1")).toBe("lost");
});

test.each([
  [999, "idle"],
  [1000, "lost"],
])("a worker whose stream ended %i ms ago is %s", (ms, state) => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.disconnect("w1");
  driver.pass(ms);
  expect(stateOf(driver, "w1")).toBe(state);
});

test("a pause of the coordinator itself counts as one tick of everybody's lease", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.nowMs += 60_000;
  driver.happens({ kind: "tick" });
  expect(stateOf(driver, "w1")).toBe("idle");
  // Until the second tick after it everything that waited has been read.
  expect(driver.fleet.clock.awakeMs).toBe(0);
  driver.pass(4749);
  expect(stateOf(driver, "w1")).toBe("idle");
  driver.pass(1);
  expect(stateOf(driver, "w1")).toBe("lost");
});

test.each([
  [500, 500],
  [501, 250],
])("a gap of %i ms between events counts as %i ms by the tick after it", (gap, counted) => {
  const driver = new FleetDriver();
  driver.nowMs += gap;
  driver.happens({ kind: "tick" });
  driver.happens({ kind: "tick" });
  expect(driver.fleet.clock.awakeMs).toBe(counted);
});

test("a pause right before a deadline costs nobody anything that was said in time", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.pass(4999);
  driver.nowMs += 60_000;
  // A timer may come before what is waiting in the sockets.
  driver.happens({ kind: "tick" });
  driver.beat("w1", 0);
  driver.pass(4749);
  expect(stateOf(driver, "w1")).toBe("idle");
});

test("a silent worker is lost within five seconds of falling silent", () => {
  expect(fleetTimes.leaseMs + fleetTimes.tickMs).toBeLessThan(5000);
});

test("a new process of the same name takes the place of one that is lost, which is no longer heard", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.hello("w1", { incarnation: "w1.2" });
  driver.beat("w1", 0);
  expect(driver.commands).toEqual([
    { kind: "close", workerId: "w1", incarnation: "w1.1", reason: "register again" },
  ]);
  driver.disconnect("w1");
  driver.pass(2000);
  expect(stateOf(driver, "w1")).toBe("idle");
});

test("who lost its name to a newer process is told to end", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.hello("w1", { incarnation: "w1.2" });
  const refusal = expect.objectContaining({
    ...{ kind: "send", incarnation: "w1.1" },
    command: expect.objectContaining({ kind: "refuse" }) as unknown,
  }) as unknown;
  driver.greet("w1");
  expect(driver.commands).toEqual([refusal]);
  expect(driver.fleet.members.get("w1")).toMatchObject({
    ...{ incarnation: "w1.2", link: { kind: "connected" } },
  });
  // The newer one itself may reconnect as often as it likes.
  driver.hello("w1", { incarnation: "w1.2" });
  expect(driver.kinds("w1")[0]).toBe("welcome");
});

test("a worker given up for lost has to say hello again", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.pass(5000);
  driver.beat("w1", 0);
  expect(stateOf(driver, "w1")).toBe("lost");
  driver.hello("w1");
  expect(stateOf(driver, "w1")).toBe("idle");
});

test.each([
  [1, "welcome"],
  [2, undefined],
])("a worker that has obeyed term %i is answered %s by a coordinator of term 1", (term, answer) => {
  const driver = new FleetDriver();
  driver.hello("w1", { term });
  expect(driver.kinds("w1")[0]).toBe(answer);
  expect(driver.commands.some(({ kind }) => kind === "close")).toBe(answer === undefined);
});

test("a worker that leaves is lost at once, and what it held is not waited for", () => {
  const driver = FleetDriver.started(["w1"]);
  driver.say("w1", { kind: "leave", reason: "asked to" });
  expect(stateOf(driver, "w1")).toBe("lost");
  expect(driver.record()).toMatchObject({ attempt: 2, state: "waiting" });
});

test("a worker that holds the state of a job that nobody runs is told to let go of it", () => {
  const driver = new FleetDriver([{ ...record("job"), state: "done" }]);
  driver.hello("w1", { held: held(3) });
  expect(driver.kinds("w1")).toEqual(["welcome", "release"]);
  expect(stateOf(driver, "w1")).toBe("working");
  driver.released("w1");
  expect(stateOf(driver, "w1")).toBe("idle");
});

test.each([
  [29_999, "working"],
  [30_000, "lost"],
])("a worker that has not let go for %i ms is %s", (ms, state) => {
  const driver = new FleetDriver();
  driver.hello("w1", { held: held(3) });
  driver.pass(ms, ["w1"]);
  expect(stateOf(driver, "w1")).toBe(state);
});

test("a lost worker is shown for ten minutes", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.pass(5000 + 599_999);
  expect(stateOf(driver, "w1")).toBe("lost");
  driver.pass(1);
  expect(stateOf(driver, "w1")).toBe(undefined);
});
