import { describe, expect, test } from "vitest";
import type { Range } from "../../src/plan/tree.js";
import { MemberDriver, order, plan } from "./memberDriver.js";

const three: readonly Range[] = [{ first: 0, end: 3 }];

describe("a term", () => {
  test("lower than one obeyed is not obeyed", () => {
    const driver = MemberDriver.holding();
    driver.told({ kind: "release", job: "other", reason: "" }, 3);
    driver.told({ kind: "release", job: "job", reason: "" }, 2);
    expect(driver.actions).toMatchObject([{ kind: "reconnect" }]);
    driver.happens({ kind: "disconnected" });
    driver.happens({ kind: "connected" });
    expect(driver.said()).toMatchObject([{ kind: "hello", term: 3, held: { step: 0 } }]);
  });
});

describe("a stream that ends", () => {
  test("costs nothing: the hello says what is held, with the ranges of the round", () => {
    const driver = MemberDriver.holding();
    driver.round(three);
    driver.happens({ kind: "disconnected" });
    driver.shard(0);
    expect(driver.said()).toEqual([]);
    driver.happens({ kind: "connected" });
    expect(driver.said()).toMatchObject([
      { held: { job: "job", attempt: 1, step: 0, parameterChecksum: 100, ranges: three } },
    ]);
  });

  test("and whose hello speaks of a child that then ends, is told of the end with the welcome", () => {
    const driver = MemberDriver.holding();
    driver.happens({ kind: "disconnected" });
    driver.happens({ kind: "connected" });
    driver.child({ kind: "exited", code: null, signal: "SIGKILL" });
    expect(driver.said()).toEqual([]);
    driver.told({
      ...{
        kind: "welcome",
        leaseMs: 5000,
        beatMs: 500,
        nats: { url: "", user: "", secret: "" },
        store: "",
      },
    });
    expect(driver.said()).toMatchObject([
      { kind: "failed", job: "job", attempt: 1, cause: "exit" },
    ]);
  });

  test("before the child has loaded, its probe tells of it", () => {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.told({ kind: "prepare", order });
    driver.happens({ kind: "disconnected" });
    driver.child({ kind: "prepared", probe: "probe" });
    driver.welcomed();
    expect(driver.said()).toEqual([{ kind: "prepared", job: "job", attempt: 1, probe: "probe" }]);
  });

  test.each([
    [599_999, []],
    [600_000, ["close"]],
  ])("for %i ms: %j", (ms, kinds) => {
    const driver = MemberDriver.holding();
    driver.happens({ kind: "disconnected" });
    driver.pass(ms);
    expect(driver.kinds()).toEqual(kinds);
  });

  test("for so long ends the worker once its child has ended, however often it is greeted then", () => {
    const driver = MemberDriver.holding();
    driver.happens({ kind: "disconnected" });
    driver.pass(600_000);
    driver.happens({ kind: "connected" });
    expect(driver.actions).toEqual([]);
    driver.child({ kind: "exited", code: 0, signal: null });
    const reason = "no coordinator for 600 s";
    expect(driver.actions).toEqual([{ kind: "quit", how: "orphaned", reason }]);
  });

  test("for so long ends a worker without a child at once", () => {
    const driver = new MemberDriver();
    driver.pass(600_000);
    expect(driver.kinds()).toEqual(["quit"]);
  });

  test("and streams that are never welcomed do not put that off", () => {
    const driver = MemberDriver.holding();
    driver.happens({ kind: "disconnected" });
    driver.nowMs += 400_000;
    driver.happens({ kind: "connected" });
    driver.happens({ kind: "disconnected" });
    driver.pass(200_000);
    expect(driver.kinds()).toContain("close");
  });

  test.each([
    [2_999, []],
    [3_000, ["reconnect"]],
  ])("is made to when a hello is not answered for %i ms: %j", (ms, kinds) => {
    const driver = new MemberDriver();
    driver.happens({ kind: "connected" });
    driver.pass(ms);
    expect(driver.kinds()).toEqual(kinds);
  });
});

test("a child that the system kills three times at the same point had too little memory", () => {
  const driver = new MemberDriver();
  driver.welcomed();
  const causes = [0, 0, 5, 5, 5].map((step) => {
    driver.told({ kind: "prepare", order });
    driver.load(step);
    driver.child({ kind: "exited", code: null, signal: "SIGKILL" });
    return driver.said().flatMap((event) => (event.kind === "failed" ? event.cause : []))[0];
  });
  expect(causes).toEqual(["exit", "exit", "exit", "exit", "memory"]);
});

describe("a release", () => {
  test("is confirmed when the child has ended", () => {
    const driver = MemberDriver.holding();
    driver.told({ kind: "release", job: "job", reason: "" });
    expect(driver.kinds()).toEqual(["close"]);
    driver.child({ kind: "exited", code: 0, signal: null });
    expect(driver.said()).toEqual([{ kind: "released", job: "job" }]);
  });

  test("of a job without a child is confirmed at once", () => {
    const driver = MemberDriver.holding();
    driver.told({ kind: "release", job: "other", reason: "" });
    expect(driver.kinds()).toEqual(["released"]);
  });

  test.each([
    [4999, []],
    [5000, ["kill-child"]],
  ])("kills a child that is still there after %i ms: %j", (ms, kinds) => {
    const driver = MemberDriver.holding();
    driver.told({ kind: "release", job: "job", reason: "" });
    driver.pass(ms);
    expect(driver.kinds().filter((kind) => kind !== "beat")).toEqual(kinds);
  });

  test("lets the next order wait for the child to end", () => {
    const driver = MemberDriver.holding();
    driver.told({ kind: "release", job: "job", reason: "" });
    driver.told({ kind: "prepare", order: { ...order, attempt: 2 } });
    expect(driver.actions).toEqual([]);
    driver.child({ kind: "exited", code: 0, signal: null });
    expect(driver.kinds()).toEqual(["released", "start-child"]);
  });
});

describe("an order", () => {
  test("starts a child, whose probe is said", () => {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.told({ kind: "prepare", order });
    expect(driver.actions).toEqual([{ kind: "start-child", order }]);
    driver.child({ kind: "prepared", probe: "probe" });
    expect(driver.said()).toEqual([{ kind: "prepared", job: "job", attempt: 1, probe: "probe" }]);
  });

  test("that comes twice starts one child, and is answered twice", () => {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.told({ kind: "prepare", order });
    driver.told({ kind: "prepare", order });
    expect(driver.actions).toEqual([]);
    driver.child({ kind: "prepared", probe: "probe" });
    driver.told({ kind: "prepare", order });
    expect(driver.kinds()).toEqual(["prepared"]);
  });

  test("of another attempt ends the child first", () => {
    const driver = MemberDriver.holding();
    driver.told({ kind: "prepare", order: { ...order, attempt: 2 } });
    expect(driver.kinds()).toEqual(["close"]);
    driver.child({ kind: "exited", code: 0, signal: null });
    expect(driver.kinds()).toEqual(["start-child"]);
  });
});

describe("a load", () => {
  test("that comes twice is done once, and answered when it is done", () => {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.told({ kind: "prepare", order });
    driver.child({ kind: "prepared", probe: "probe" });
    driver.load(0);
    driver.load(0);
    expect(driver.actions).toEqual([]);
    driver.child({ kind: "loaded", step: 0, parameterChecksum: 100 });
    driver.load(0);
    expect(driver.kinds()).toEqual(["loaded"]);
  });

  test("from another donor takes the place of the one under way", () => {
    const driver = MemberDriver.holding();
    driver.load(3, { kind: "peer", address: "w2.1" });
    driver.load(3, { kind: "peer", address: "w3.1" });
    expect(driver.toChild()).toMatchObject([{ kind: "load", source: { address: "w3.1" } }]);
  });

  test("drops the round that was under way", () => {
    const driver = MemberDriver.holding();
    driver.round([{ first: 0, end: 1 }]);
    driver.load(1, { kind: "peer", address: "w2.1" });
    driver.child({ kind: "loaded", step: 1, parameterChecksum: 101 });
    driver.round([{ first: 0, end: 1 }], 1);
    expect(driver.toChild()[0]).toMatchObject({ kind: "compute", first: true });
  });
});

describe("a child that ends by itself", () => {
  test.each([
    [null, "SIGKILL", "its process was killed with SIGKILL, as when memory runs out"],
    [null, "SIGSEGV", "its process was ended by SIGSEGV"],
    [
      null,
      "SIGILL",
      "its process was ended by SIGILL, as where the CPU lacks instructions that TensorFlow uses (AVX; `bitfleet doctor`)",
    ],
    [3, null, "its process ended with exit code 3"],
  ])("(code %s, signal %s) is a failure in words", (code, signal, message) => {
    const driver = MemberDriver.holding();
    driver.child({ kind: "exited", code, signal });
    expect(driver.said()).toEqual([
      { kind: "failed", job: "job", attempt: 1, cause: "exit", message },
    ]);
  });

  test("after it has said why is said once", () => {
    const driver = MemberDriver.holding();
    driver.child({ kind: "failed", cause: "data", message: "x.png is torn" });
    expect(driver.said()).toMatchObject([{ kind: "failed", cause: "data" }]);
    driver.child({ kind: "exited", code: 1, signal: null });
    expect(driver.said()).toEqual([]);
  });
});

describe("what is saved", () => {
  const saved = { what: "weights", step: 0, parameterDigest: "d", bytes: 1 } as const;

  test("is said again instead of written again", () => {
    const driver = MemberDriver.holding();
    driver.told({ kind: "save", job: "job", attempt: 1, what: "weights" });
    expect(driver.toChild()).toEqual([{ kind: "save", what: "weights" }]);
    driver.child({ kind: "saved", ...saved });
    driver.told({ kind: "save", job: "job", attempt: 1, what: "weights" });
    expect(driver.actions).toMatchObject([{ kind: "to-coordinator", event: saved }]);
    driver.told({ kind: "save", job: "job", attempt: 1, what: "checkpoint" });
    expect(driver.toChild()).toEqual([{ kind: "save", what: "checkpoint" }]);
  });
});

test("a worker that is told to end does", () => {
  const driver = new MemberDriver();
  driver.happens({ kind: "connected" });
  driver.told({ kind: "refuse", reason: "no" });
  expect(driver.actions).toEqual([{ kind: "quit", how: "dismissed", reason: "no" }]);
});

describe("a stream on which no beat is answered", () => {
  test.each([
    [2_900, 0],
    [3_000, 1],
  ])("for %i ms is given up %i times", (ms, times) => {
    const driver = MemberDriver.holding();
    driver.wait(500);
    driver.wait(ms, { answered: false });
    expect(driver.kinds().filter((kind) => kind === "reconnect")).toHaveLength(times);
  });

  test("is given up although other commands come: they do not show that the worker is heard", () => {
    const driver = MemberDriver.holding();
    driver.wait(2_900, { answered: false });
    driver.round(three);
    driver.wait(200, { answered: false });
    expect(driver.kinds()).toContain("reconnect");
  });

  test("is kept while answers come, and while the worker itself stood still", () => {
    const driver = MemberDriver.holding();
    driver.wait(60_000);
    expect(driver.kinds()).not.toContain("reconnect");
    driver.pass(20_000);
    expect(driver.kinds()).not.toContain("reconnect");
    driver.wait(2_900, { answered: false });
    expect(driver.kinds()).not.toContain("reconnect");
    driver.wait(200, { answered: false });
    expect(driver.kinds()).toContain("reconnect");
  });
});

describe("a child that says nothing", () => {
  test("is told of once, to the coordinator and in the worker's log, and the beat says for how long", () => {
    const driver = MemberDriver.holding();
    driver.wait(1_000);
    driver.wait(4_900, { childTalks: false });
    expect(new Set(driver.kinds())).toEqual(new Set(["beat"]));
    driver.wait(200, { childTalks: false });
    const message = "its process has said nothing for 5 s: it is stopped or blocked";
    expect(driver.actions).toContainEqual({
      kind: "to-coordinator",
      event: { kind: "log", job: "job", level: "warn", message, fields: {} },
    });
    expect(driver.kinds()).toContain("note");
    driver.wait(3_000, { childTalks: false });
    expect(driver.kinds()).not.toContain("note");
    expect(driver.said().at(-1)).toMatchObject({ kind: "beat", childSilentMs: 8_000 });
  });

  test("because the worker stood still is not told of", () => {
    const driver = MemberDriver.holding();
    driver.wait(1_000);
    driver.pass(30_000);
    expect(driver.kinds()).not.toContain("note");
  });

  test("and then talks again is told of a second time only after another silence", () => {
    const driver = MemberDriver.holding();
    driver.wait(6_000, { childTalks: false });
    driver.wait(1_000);
    expect(driver.said().at(-1)).toMatchObject({ childSilentMs: 100, unitMs: 40 });
    driver.wait(6_000, { childTalks: false });
    expect(driver.kinds().filter((kind) => kind === "note")).toHaveLength(1);
  });
});

describe("a beat", () => {
  test.each([
    [499, 0],
    [500, 1],
  ])("%i ms after the welcome: %i", (ms, count) => {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.pass(ms);
    expect(driver.said()).toHaveLength(count);
  });

  test("says what the worker is at, and whom it waits for by id", () => {
    const driver = MemberDriver.holding();
    driver.round([{ first: 0, end: 1 }]);
    driver.shard(0);
    driver.child({
      ...{ kind: "exchanging", waitingFor: ["w2.1"], natsAgeMs: 3, residentBytes: 9, unitMs: 40 },
    });
    driver.pass(500);
    expect(driver.said()).toEqual([
      {
        ...{ kind: "beat", phase: "exchanging", waitingFor: ["w2"], natsAgeMs: 3 },
        ...{ shardsDone: 1, residentBytes: 9, childSilentMs: 500, unitMs: 40 },
      },
    ]);
  });
});

describe("a task", () => {
  const task = { kind: "index", settings: plan.settings } as const;

  test("runs once however often it is told, and its end is said again", () => {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.told({ kind: "task", taskId: "t", task });
    expect(driver.actions).toEqual([{ kind: "start-task", taskId: "t", task }]);
    driver.told({ kind: "task", taskId: "t", task });
    expect(driver.actions).toEqual([]);
    driver.happens({ kind: "disconnected" });
    driver.happens({ kind: "task", event: { kind: "task-done", taskId: "t", result: "r" } });
    expect(driver.actions).toEqual([]);
    driver.welcomed();
    driver.told({ kind: "task", taskId: "t", task });
    expect(driver.said()).toEqual([{ kind: "task-done", taskId: "t", result: "r" }]);
  });

  test("that is cancelled is stopped, and what it still says is not passed on", () => {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.told({ kind: "task", taskId: "t", task });
    driver.told({ kind: "cancel-task", taskId: "t" });
    expect(driver.actions).toEqual([{ kind: "stop-task", taskId: "t" }]);
    driver.happens({ kind: "task", event: { kind: "task-done", taskId: "t", result: "r" } });
    expect(driver.actions).toEqual([]);
  });
});
