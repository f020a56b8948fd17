import { describe, expect, test } from "vitest";
import type { WorkerEvent } from "../../src/control/message.js";
import { jobStatus } from "../../src/control/view.js";
import { workerEvent } from "../../src/wire/workerEvent.js";
import { FleetDriver, record, result, upTo } from "./fleetDriver.js";

/** A beat of each worker: shards done, whom it waits for, age of the last word from NATS. */
type Beats = Readonly<Record<string, readonly [number, string, number]>>;

function left(driver: FleetDriver): readonly string[] {
  return [...(driver.run?.participants.keys() ?? [])].toSorted();
}

function reason(driver: FleetDriver): string {
  return jobStatus(driver.fleet, "job", driver.nowMs).reason;
}

/** Lets time pass while all beat twice a second. */
function beating(driver: FleetDriver, ms: number, beats: Beats): readonly string[] {
  const said: string[] = [];
  for (const end = driver.nowMs + ms; driver.nowMs < end;) {
    driver.pass(Math.min(500, end - driver.nowMs));
    said.push(...driver.said());
    for (const [workerId, [done, waitingFor, natsAgeMs]] of Object.entries(beats)) {
      driver.beat(workerId, done, waitingFor, natsAgeMs);
      said.push(...driver.said());
    }
  }
  return said;
}

/** Two workers in step 1, each with a shard time of `unitMs`; w1 has reported. */
function inSecondStep(unitMs: number, exchangeMs = 10): FleetDriver {
  const driver = FleetDriver.started(["w1", "w2"]);
  driver.report("w1", upTo(4), { computeMs: 4 * unitMs, exchangeMs });
  driver.report("w2", upTo(8, 4), { computeMs: 4 * unitMs, exchangeMs });
  driver.report("w1", upTo(4), { computeMs: 4 * unitMs, exchangeMs });
  return driver;
}

/** Three workers in step 1, past their shards: only the exchange is left. */
function exchanging(): FleetDriver {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.report("w1", upTo(3));
  driver.report("w2", upTo(6, 3));
  driver.report("w3", upTo(8, 6));
  return driver;
}

test("of many workers with long names the one that most wait for is blamed, however long the list", () => {
  const ids = upTo(17, 1).map((i) => `worker-of-a-stateful-set-${String(i).padStart(2, "0")}`);
  const last = ids.at(-1) ?? "";
  const driver = FleetDriver.started(ids, { batch: 32, shards: 16 });
  ids.forEach((id, i) => {
    driver.report(id, [i]);
  });
  const over = driver.nowMs + 601_000;
  while (driver.nowMs < over && left(driver).length === ids.length) {
    driver.pass(5_000 - 250);
    for (const id of ids) {
      // The last waits for nobody, and everybody else for all others.
      const waitingFor = ids.filter((other) => other !== id && id !== last);
      const beat: WorkerEvent = {
        ...{ kind: "beat", phase: "exchanging", waitingFor, natsAgeMs: 1, shardsDone: 1 },
        ...{ residentBytes: 1, childSilentMs: 0, unitMs: 0 },
      };
      driver.say(id, workerEvent.decode(workerEvent.encode(beat)));
    }
  }
  expect(ids.filter((id) => !left(driver).includes(id))).toEqual([last]);
});

describe("a worker that beats and finishes no shard", () => {
  test.each([
    [599_750, 2],
    [600_000, 1],
  ])("for %i ms of its first ones leaves %i workers", (ms, count) => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.pass(ms, ["w1", "w2"]);
    expect(left(driver).length).toBe(count);
  });

  test.each([
    [10, 4_750, 2],
    [10, 5_000, 1],
    [1_249, 4_750, 2],
    [1_249, 5_000, 1],
    [2_500, 9_750, 2],
    [2_500, 10_000, 1],
  ])(
    "of its usual %i ms for %i ms leaves %i workers: four times that, and at least five seconds",
    (unitMs, ms, count) => {
      const driver = inSecondStep(unitMs);
      driver.pass(ms, ["w1", "w2"]);
      expect(left(driver).length).toBe(count);
      expect(driver.record().generation).toBe(3 - count);
    },
  );

  test("is measured by its own figures: a slow one has the time that it always takes", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4), { computeMs: 4 * 10 });
    driver.report("w2", upTo(8, 4), { computeMs: 4 * 10_000 });
    const [, slow = { ranges: [] }] = driver.round("w1").members;
    expect(slow.ranges).toEqual([]);
    driver.pass(5_000, ["w1", "w2"]);
    expect(left(driver)).toEqual(["w2"]);
  });

  test("has begun anew with every shard that it finishes", () => {
    const driver = inSecondStep(10);
    driver.pass(4_750, ["w1", "w2"]);
    driver.beat("w2", 1);
    for (let i = 0; i < 9; i += 1) {
      driver.pass(500, ["w1"]);
      driver.beat("w2", 1);
    }
    expect(left(driver)).toEqual(["w1", "w2"]);
    driver.pass(500, ["w1"]);
    expect(left(driver)).toEqual(["w1"]);
  });

  test("has more time where it is new: it may be slower than the others, and has to warm up", () => {
    const driver = FleetDriver.started(["w1"], { steps: 9 });
    driver.report("w1", upTo(8), { computeMs: 80 });
    driver.hello("w2");
    driver.prepared("w2");
    driver.report("w1", upTo(8));
    driver.applied("w1", 2);
    driver.loaded("w2", 2);
    driver.report("w2", []);
    driver.report("w1", upTo(8));
    expect(driver.round("w2")).toMatchObject({ step: 3 });
    beating(driver, 29_500, { w1: [4, "", 1], w2: [0, "", 1] });
    expect(left(driver)).toEqual(["w1", "w2"]);
    beating(driver, 1_000, { w1: [4, "", 1], w2: [0, "", 1] });
    expect(left(driver)).toEqual(["w1"]);
  });
});

describe("a deadline alone", () => {
  test("never removes the last one that holds the state, and the status says who is waited for", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.report("w1", upTo(8));
    driver.hello("w2", { numerics: "other" });
    const said = beating(driver, 120_000, { w1: [0, "", 1], w2: [0, "", 1] });
    expect(driver.record()).toMatchObject({ state: "training", attempt: 1, generation: 1 });
    expect(reason(driver)).toBe("waits for w1: for 120 s it finished no shard");
    expect(said).toEqual([
      "waits for w1, although for 5 s it finished no shard: nobody else holds the state",
    ]);
    driver.report("w1", upTo(8));
    expect(reason(driver)).toBe("");
  });

  test.each([
    [2, 1],
    [3, 2],
    [4, 2],
    [5, 3],
  ])("of %i workers of a round leaves %i", (workers, kept) => {
    const ids = upTo(workers + 1, 1).map((i) => `w${i}`);
    const driver = FleetDriver.started(ids);
    beating(driver, 1_900_000, Object.fromEntries(ids.map((id) => [id, [0, "", 1] as const])));
    expect(left(driver).length).toBe(kept);
    expect(reason(driver)).toMatch(/^waits for w\d: for \d+ s it finished no shard$/);
  });

  test("does not count where a process is gone: then the last one left goes on", () => {
    const driver = FleetDriver.started(["w1", "w2", "w3"]);
    beating(driver, 601_000, { w1: [3, "", 1], w2: [0, "", 1], w3: [2, "", 1] });
    expect(left(driver)).toEqual(["w1", "w3"]);
    driver.disconnect("w3");
    driver.pass(1_000, ["w1"]);
    expect(left(driver)).toEqual(["w1"]);
  });
});

test.each([
  [4_999, ["w1", "w2"]],
  [5_000, ["w1"]],
])("a worker whose process has said nothing for %i ms: %j are left", (childSilentMs, kept) => {
  const driver = FleetDriver.started(["w1", "w2"]);
  const silent = (workerId: string): void => {
    driver.say(workerId, {
      ...{ kind: "beat", phase: "computing", waitingFor: [], natsAgeMs: 1, shardsDone: 0 },
      ...{ residentBytes: 1, childSilentMs, unitMs: -1 },
    });
  };
  silent("w2");
  expect(left(driver)).toEqual(kept);
  silent("w1");
  // The last one that holds the state may come to itself again.
  expect(left(driver).length).toBeGreaterThan(0);
});

describe("a worker whose process is silent", () => {
  /** Lets time pass while those workers beat, w2 with a process that says nothing. */
  function pass(driver: FleetDriver, ms: number, silentMs = 0): readonly string[] {
    const said: string[] = [];
    for (let passed = 0; passed < ms; passed += 500) {
      driver.pass(500, ["w1"]);
      said.push(...driver.said());
      driver.say("w2", {
        ...{ kind: "beat", phase: "", waitingFor: [], natsAgeMs: 1, shardsDone: 0 },
        ...{ residentBytes: 1, childSilentMs: silentMs + passed + 500, unitMs: -1 },
      });
      said.push(...driver.said());
    }
    return said;
  }

  function loading(): FleetDriver {
    const driver = new FleetDriver();
    for (const workerId of ["w1", "w2"]) driver.hello(workerId);
    driver.happens({ kind: "submit", record: record("job") });
    for (const workerId of ["w1", "w2"]) driver.prepared(workerId);
    return driver;
  }

  test.each([true, false])("does not keep those who load waiting (one has loaded: %s)", (has) => {
    const driver = loading();
    if (has) driver.loaded("w1");
    expect(pass(driver, 4_500, 9_000)).toEqual([]);
    expect(pass(driver, 500, 9_000)).toContain(
      "w2 is set aside: its process says nothing while it is to load",
    );
    if (!has) driver.loaded("w1");
    expect(driver.record().state).toBe("training");
  });

  test("is waited for where no other loads", () => {
    const driver = loading();
    driver.hello("w1", { incarnation: "w1.2" });
    pass(driver, 20_000);
    expect(left(driver)).toContain("w2");
  });

  test("does not keep those who hold the state waiting for what it is to write", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 1 });
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    driver.applied("w1", 1);
    driver.applied("w2", 1);
    const failed = { kind: "save-failed", job: "job", attempt: 1, step: 1 } as const;
    driver.say("w1", { ...failed, what: "weights", message: "the disk is full" });
    expect(driver.kinds("w2")).toEqual(["save"]);
    expect(pass(driver, 4_500)).toEqual([]);
    expect(pass(driver, 500, 4_500)).toEqual([
      "w2 is set aside: its process says nothing while it is to write the weights",
    ]);
    expect(driver.kinds("w1")).toEqual(["save"]);
  });
});

describe("in an exchange that takes too long", () => {
  test("whom most others wait for is lost, and the reason is logged once", () => {
    const driver = exchanging();
    const said = beating(driver, 7_000, {
      w1: [8, "w2", 1],
      w2: [8, "w1", 1],
      w3: [8, "w2", 1],
    });
    expect(left(driver)).toEqual(["w1", "w3"]);
    expect(said.filter((line) => line.includes("is lost"))).toEqual([
      "w2 is lost: for 5 s the exchange waits for it",
    ]);
  });

  test("who alone has no answer from NATS is lost instead, and sooner", () => {
    const driver = exchanging();
    beating(driver, 1_500, { w1: [8, "w2", 1], w2: [8, "w1", 1], w3: [8, "w2", 3000] });
    expect(left(driver)).toEqual(["w1", "w2"]);
  });

  test("who computes still is not, however long it is without NATS", () => {
    const driver = FleetDriver.started(["w1", "w2", "w3"]);
    beating(driver, 60_000, { w1: [8, "w3", 1], w2: [8, "w3", 1], w3: [0, "", 60_000] });
    expect(left(driver)).toEqual(["w1", "w2", "w3"]);
  });

  test.each([
    [1999, ["w1", "w2"]],
    [2000, ["w1", "w2", "w3"]],
  ])("nobody is while another's last answer is up to %i ms old: %j", (age, kept) => {
    const driver = FleetDriver.started(["w1", "w2", "w3"]);
    driver.pass(1_000, ["w1", "w2", "w3"]);
    for (let i = 0; i < 4; i += 1) {
      driver.nowMs += 450;
      driver.beat("w3", 8, "", 3000);
      driver.beat("w1", 8, "", 1);
      driver.beat("w2", 8, "", age);
    }
    expect(left(driver)).toEqual(kept);
  });
});

describe("while NATS is away nobody is evicted", () => {
  const stuck = { w1: [8, "w2", 1], w2: [8, "w1", 1], w3: [8, "w1", 1] } as const;

  test("as the coordinator's own connection tells, and deadlines begin anew after it", () => {
    const driver = exchanging();
    driver.happens({ kind: "nats", isUp: false });
    beating(driver, 120_000, stuck);
    expect(left(driver)).toEqual(["w1", "w2", "w3"]);
    expect(reason(driver)).toBe("NATS does not answer; deadlines stand still until it does");
    driver.happens({ kind: "nats", isUp: true });
    beating(driver, 4_500, stuck);
    expect(left(driver)).toEqual(["w1", "w2", "w3"]);
    beating(driver, 1_000, stuck);
    expect(left(driver)).toEqual(["w2", "w3"]);
  });

  test("as most of the workers tell", () => {
    const driver = exchanging();
    beating(driver, 120_000, { w1: [8, "w2", 9000], w2: [8, "w1", 9000], w3: [8, "w2", 1] });
    expect(left(driver)).toEqual(["w1", "w2", "w3"]);
  });

  test("nor while they are on their way back, one after the other", () => {
    const driver = exchanging();
    driver.happens({ kind: "nats", isUp: false });
    beating(driver, 10_000, stuck);
    driver.happens({ kind: "nats", isUp: true });
    beating(driver, 4_500, { w1: [8, "w3", 1], w2: [8, "w3", 1], w3: [8, "", 14_000] });
    expect(left(driver)).toEqual(["w1", "w2", "w3"]);
    beating(driver, 1_000, { w1: [8, "w3", 1], w2: [8, "w3", 1], w3: [8, "", 19_000] });
    expect(left(driver)).toEqual(["w1", "w2"]);
  });
});

test("a worker that is judged wrong when a new process has taken its place is not set aside", () => {
  const driver = FleetDriver.started(["w1", "w2", "w3"]);
  driver.report("w1", upTo(3));
  driver.report("w2", upTo(6, 3));
  driver.report("w3", [], { shards: [result(6, { finite: false, loss: NaN }), result(7)] });
  driver.hello("w3", { incarnation: "w3.2" });
  expect(driver.kinds("w3")).toContain("prepare");
  driver.report("w1", [], { shards: [result(6, { check: 1 })] });
  expect(driver.said()[0]).toBe(
    "the process that w3 had before was wrong: shard 6 of step 0 came out wrong on it: it is not finite",
  );
  expect(driver.kinds("w3")).not.toContain("release");
  expect(left(driver)).toEqual(["w1", "w2", "w3"]);
  expect(driver.run?.distrusted.size).toBe(0);
});

test.each([false, true])(
  "the sum of the only one left of several is added up again, unless another has the same: %s",
  (isSame) => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4), { sumChecksum: 8 });
    driver.report("w2", upTo(8, 4), { sumChecksum: 7 });
    driver.hello("w3");
    driver.prepared("w3");
    driver.loaded("w3");
    if (isSame) driver.report("w3", [], { sumChecksum: 9 });
    driver.report("w1", [], { sumChecksum: 9 });
    driver.hello("w2", { incarnation: "w2.2" });
    expect(driver.record().step).toBe(isSame ? 1 : 0);
    if (isSame) return;
    expect(driver.round("w1")).toMatchObject({
      trial: driver.record().generation,
      members: [{ workerId: "w1", ranges: [{ end: 4 }, { first: 4, end: 8 }], finished: false }],
    });
    driver.report("w1", upTo(8), { sumChecksum: 7 });
    driver.pass(1000, ["w1", "w3"]); // The commit waits for w3, which follows.
    expect(driver.record().step).toBe(1);
  },
);

test("the sum of the only one left is added up again where one that is gone came to another", () => {
  const driver = FleetDriver.started(["w1", "w2"]);
  driver.report("w2", upTo(8, 4), { sumChecksum: 7 });
  driver.hello("w2", { incarnation: "w2.2" });
  expect(driver.round("w1").trial).toBe(0);
  driver.report("w1", upTo(8), { sumChecksum: 8 });
  expect(driver.said()).toEqual([
    "the sum of step 0 came out differently on one that is gone: it is added up again",
  ]);
  expect(driver.round("w1").trial).toBe(driver.record().generation);
  driver.report("w1", upTo(8), { sumChecksum: 8 });
  expect(driver.record().step).toBe(1);
});
