import { describe, expect, test } from "vitest";
import { jobStatus, workerStatuses } from "../../src/control/view.js";
import { FleetDriver, held, record, upTo } from "./fleetDriver.js";

function reasonOf(driver: FleetDriver, workerId: string): string {
  return workerStatuses(driver.fleet, driver.nowMs).find(({ id }) => id === workerId)?.reason ?? "";
}

describe("the queue", () => {
  test("starts the first job and keeps the others in their order", () => {
    const driver = new FleetDriver();
    driver.happens({ kind: "submit", record: record("job") });
    driver.happens({ kind: "submit", record: record("second") });
    driver.happens({ kind: "submit", record: record("third") });
    expect(jobStatus(driver.fleet, "job").reason).toBe("needs 1 worker; none is connected");
    driver.hello("w1");
    expect(driver.record("job")).toMatchObject({ state: "starting", attempt: 1 });
    expect(driver.record("second")).toMatchObject({ state: "queued", order: 2 });
    expect(jobStatus(driver.fleet, "third").reason).toBe("waits for job");
    driver.happens({ kind: "cancel", job: "job" });
    driver.released("w1");
    expect(driver.record("job").state).toBe("cancelled");
    expect(driver.record("second")).toMatchObject({ state: "starting", attempt: 1 });
    expect(driver.record("third").state).toBe("queued");
  });

  test("takes no second job of a name, whatever became of the first", () => {
    const driver = new FleetDriver([{ ...record("job"), state: "done" }]);
    driver.happens({ kind: "submit", record: record("job") });
    expect(driver.record().state).toBe("done");
  });

  test("cancels a job that waits at once", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.happens({ kind: "submit", record: record("second") });
    driver.happens({ kind: "cancel", job: "second" });
    expect(driver.record("second").state).toBe("cancelled");
    expect(driver.record("job").state).toBe("training");
  });

  test.each([
    ["queued", true, false],
    ["training", true, false],
    ["cancelling", false, false],
    ["done", false, false],
    ["failed", false, true],
    ["cancelled", false, true],
  ] as const)("a job that is %s can be cancelled: %s, resumed: %s", (state, cancels, resumes) => {
    const after = (kind: "cancel" | "resume" | "tick"): string => {
      const driver = new FleetDriver([{ ...record("job"), state }]);
      driver.happens(kind === "tick" ? { kind } : { kind, job: "job" });
      return driver.record().state;
    };
    const changed = (["cancel", "resume"] as const).map((kind) => after(kind) !== after("tick"));
    expect(changed).toEqual([cancels, resumes]);
  });
});

describe("a start", () => {
  test("records the attempt before anything is sent", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.happens({ kind: "submit", record: record("job") });
    const [first, ...others] = driver.commands;
    expect(first).toMatchObject({ kind: "record", record: { attempt: 1, state: "starting" } });
    expect(others.some(({ kind }) => kind === "record")).toBe(false);
    expect(driver.sent("w1")).toMatchObject([
      { kind: "prepare", order: { job: "job", attempt: 1, classes: 2, indexDigest: "index" } },
    ]);
  });

  test("waits for all who were asked", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.hello("w2");
    driver.happens({ kind: "submit", record: record("job") });
    driver.prepared("w1");
    expect(driver.kinds("w1")).toEqual([]);
    driver.prepared("w2");
    expect(driver.sent("w1")).toEqual([
      { kind: "load", job: "job", attempt: 1, step: 0, source: { kind: "initial" } },
    ]);
  });

  test.each([
    [29_999, false],
    [30_000, true],
  ])("%i ms after there are enough goes on without the others: %s", (ms, goesOn) => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.hello("w2");
    driver.happens({ kind: "submit", record: record("job") });
    driver.prepared("w1");
    driver.pass(ms, ["w1", "w2"]);
    expect(driver.run?.phase.kind === "loading").toBe(goesOn);
  });

  test("asks nobody before there are as many as the job needs, and says so", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.happens({ kind: "submit", record: record("job", { minWorkers: 2 }) });
    expect(driver.record()).toMatchObject({ state: "queued", attempt: 0 });
    expect(jobStatus(driver.fleet, "job").reason).toBe("needs 2 workers; 1 is connected");
    driver.hello("w2");
    expect(driver.kinds("w1")).toEqual(["prepare"]);
    expect(driver.kinds("w2")).toEqual(["welcome", "prepare"]);
  });

  test("waits for another worker where one is lost while it gets ready", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.hello("w2");
    driver.happens({ kind: "submit", record: record("job", { minWorkers: 2 }) });
    driver.prepared("w1");
    driver.disconnect("w2");
    driver.pass(1000, ["w1"]);
    expect(driver.record()).toMatchObject({ state: "waiting", reason: "1 of 2 workers are ready" });
    driver.disconnect("w1");
    driver.pass(1000);
    expect(driver.record().reason).toBe("0 of 2 workers are ready; no worker is connected");
    driver.hello("w3");
    driver.hello("w4");
    driver.prepared("w3");
    driver.prepared("w4");
    expect(driver.kinds("w3")).toEqual(["load"]);
  });

  /** These are ready and told to load. */
  function loading(workers: readonly string[], minWorkers = 1): FleetDriver {
    const driver = new FleetDriver();
    for (const id of workers) driver.hello(id);
    driver.happens({ kind: "submit", record: record("job", { minWorkers }) });
    for (const id of workers) driver.prepared(id);
    return driver;
  }

  test("leaves out the one that loads other parameters than the others", () => {
    const driver = loading(["w1", "w2", "w3"]);
    driver.loaded("w1", 0, 1);
    driver.loaded("w2");
    driver.loaded("w3");
    const why = "it loaded parameters of checksum 1, and the others of 100";
    expect(driver.said()).toContain(`w1 is set aside: ${why}`);
    expect(driver.kinds("w1")).toEqual(["release"]);
    expect(driver.record()).toMatchObject({ state: "training", members: ["w2", "w3"] });
    expect(driver.round("w2").members.map(({ workerId }) => workerId)).toEqual(["w2", "w3"]);
    driver.released("w1");
    expect(reasonOf(driver, "w1")).toBe(why);
  });

  test("is begun anew where nobody can say who loaded the right parameters, and given up after some", () => {
    const driver = loading(["w1", "w2"]);
    const why = "the parameters that were loaded have checksum 1 on w1 and 2 on w2";
    for (let attempt = 1; attempt <= 4; attempt += 1) {
      expect(driver.record()).toMatchObject({ state: "starting", attempt });
      driver.loaded("w1", 0, 1);
      driver.loaded("w2", 0, 2);
      if (attempt === 1) expect(driver.said()).toContain(`${why}: goes back to step 0`);
      for (const id of ["w1", "w2"]) driver.released(id);
      if (attempt < 4) for (const id of ["w1", "w2"]) driver.prepared(id);
    }
    expect(driver.record()).toMatchObject({ state: "failed", reason: `${why}, again and again` });
  });

  test.each(["data", "config", "numbers"] as const)(
    "goes on without the one that fails with cause %s, and fails with the last",
    (cause) => {
      const message = "x.png is not what the index says";
      const unable = { kind: "failed", job: "job", attempt: 1, cause, message } as const;
      const driver = new FleetDriver();
      for (const id of ["w1", "w2", "w3"]) driver.hello(id);
      driver.happens({ kind: "submit", record: record("job") });
      driver.say("w1", unable);
      expect(driver.said()).toEqual([`w1 is set aside: ${message}`]);
      expect(driver.kinds("w1")).toEqual(["release"]);
      driver.prepared("w2");
      driver.prepared("w3");
      driver.say("w3", unable);
      expect(driver.record().state).toBe("starting");
      driver.released("w1");
      driver.released("w3");
      expect([reasonOf(driver, "w1"), reasonOf(driver, "w3")]).toEqual([message, message]);
      driver.say("w2", unable);
      expect(driver.record()).toMatchObject({ state: "failed", reason: message });
    },
  );

  test("is from the newest checkpoint", () => {
    const checkpoints = [
      { step: 2, attempt: 1, name: "c" },
      { step: 1, attempt: 1, name: "b" },
    ];
    const driver = new FleetDriver([{ ...record("job"), attempt: 1, checkpoints, order: 1 }]);
    driver.hello("w1");
    driver.prepared("w1");
    const source = { kind: "checkpoint", step: 2 };
    expect(driver.sent("w1")).toMatchObject([{ kind: "load", attempt: 2, step: 2, source }]);
  });
});

describe("arithmetic", () => {
  test("a job is pinned to the largest group that is ready, and the others are spares", () => {
    const driver = new FleetDriver();
    for (const [id, numerics] of [
      ["w1", "A"],
      ["w2", "B"],
      ["w3", "B"],
    ] as const) {
      driver.hello(id, { numerics });
    }
    driver.happens({ kind: "submit", record: record("job") });
    for (const id of ["w1", "w2", "w3"]) driver.prepared(id);
    expect(driver.record().pin).toEqual({ numerics: "B", probe: "probe" });
    expect(driver.kinds("w1")).toEqual(["release"]);
    expect(driver.kinds("w2")).toEqual(["load"]);
    driver.released("w1");
    expect(driver.kinds("w1")).toEqual(["spare"]);
    expect(reasonOf(driver, "w1")).toMatch(/"B".*"A"/);
  });

  test("of equal groups the one with the smallest worker id wins", () => {
    const driver = new FleetDriver();
    driver.hello("w2", { numerics: "A" });
    driver.hello("w1", { numerics: "B" });
    driver.happens({ kind: "submit", record: record("job") });
    driver.prepared("w2");
    driver.prepared("w1");
    expect(driver.record().pin?.numerics).toBe("B");
  });

  test("a worker of another class is not even asked once the job is pinned", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.hello("w2", { numerics: "other" });
    expect(driver.kinds("w2")).toEqual(["welcome", "spare"]);
    expect(reasonOf(driver, "w2")).toBe(
      'job goes on with the arithmetic of "toy", and this worker\'s is "other"',
    );
    driver.pass(1000, ["w1", "w2"]);
    expect(driver.kinds("w2")).toEqual([]);
  });

  test("a worker whose probe differs is released, with both probes named", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.hello("w2");
    driver.prepared("w2", "odd");
    expect(driver.kinds("w2")).toEqual(["release"]);
    driver.released("w2");
    expect(reasonOf(driver, "w2")).toBe(
      "its probe for job gave odd, and the job is pinned to probe",
    );
    expect(driver.kinds("w2")).toEqual(["spare"]);
  });

  test("a worker of another class that gets ready after the job was pinned is released", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.hello("w2", { numerics: "other" });
    driver.happens({ kind: "submit", record: record("job") });
    driver.prepared("w1");
    driver.pass(30_000, ["w1", "w2"]);
    driver.prepared("w2");
    expect(driver.kinds("w2")).toEqual(["release"]);
  });

  test("mixed devices lift the check", () => {
    const driver = FleetDriver.started(["w1"], { mixedDevices: true });
    driver.hello("w2", { numerics: "other" });
    expect(driver.kinds("w2")).toEqual(["welcome", "prepare"]);
    driver.prepared("w2", "odd");
    driver.report("w1", upTo(8));
    driver.applied("w1", 1);
    driver.loaded("w2", 1, 5);
    driver.report("w2", [], { parameterChecksum: 5 });
    driver.report("w1", upTo(8));
    expect(driver.said()).toContain("w2 joined at step 2");
  });

  test("more workers than shards wait as spares", () => {
    const driver = FleetDriver.started(["w1", "w2"], { shards: 2, batch: 4 });
    driver.hello("w3");
    expect(reasonOf(driver, "w3")).toBe("job has 2 shards, one for each of as many workers");
  });
});

describe("a worker that comes back in time", () => {
  test("is told the round again", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.disconnect("w1");
    driver.hello("w1", { held: held(0) });
    expect(driver.kinds("w1")).toEqual(["welcome", "round"]);
    expect(driver.record().generation).toBe(1);
  });

  test("is told the commit that it missed", () => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.report("w1", upTo(4));
    driver.disconnect("w1");
    driver.report("w2", upTo(8, 4));
    expect(driver.sent("w1")).toEqual([]);
    driver.hello("w1", { held: held(0) });
    expect(driver.sent("w1")).toMatchObject([
      { kind: "welcome" },
      { kind: "commit", step: 0, save: false },
      { kind: "round", step: 1 },
    ]);
  });

  test.each([
    ["nothing", undefined],
    ["an older state", held(-2)],
    ["a later state", held(1)],
    ["the state of another attempt", held(0, { attempt: 3 })],
  ])("with %s is lost to the round", (_, state) => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.disconnect("w1");
    driver.hello("w1", { held: state });
    expect(driver.round("w2")).toMatchObject({ generation: 2 });
    expect(driver.kinds("w1")).not.toContain("round");
  });

  test("is told again to prepare, to load, to save and to let go", () => {
    const driver = new FleetDriver();
    const back = (state = held(0)): readonly string[] => {
      driver.disconnect("w1");
      driver.hello("w1", { held: state });
      return driver.kinds("w1").slice(1);
    };
    driver.hello("w1");
    driver.happens({ kind: "submit", record: record("job", { steps: 1 }) });
    expect(back()).toEqual(["prepare"]);
    driver.prepared("w1");
    expect(back()).toEqual(["load"]);
    driver.loaded("w1");
    driver.report("w1", upTo(8));
    driver.applied("w1", 1);
    expect(back(held(1))).toEqual(["save"]);
    driver.saved("w1", "weights", 1);
    expect(back(held(1))).toEqual(["release"]);
    driver.released("w1");
    expect(driver.record().state).toBe("done");
  });
});
