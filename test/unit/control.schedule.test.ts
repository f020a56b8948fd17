import { describe, expect, test } from "vitest";
import { lacking } from "../../src/control/need.js";
import { jobStatus, workerStatuses } from "../../src/control/view.js";
import { FleetDriver, held, record, result, upTo } from "./fleetDriver.js";
import type { JobRequest } from "../../src/job/settings.js";
import type { WorkerCommand } from "../../src/control/message.js";

/** A fleet whose workers do at once what they are told, for a number of committed steps. */
class Fleet {
  readonly driver = new FleetDriver();
  readonly #rounds = new Map<string, string>();

  join(...workers: readonly string[]): void {
    for (const workerId of workers) {
      this.driver.hello(workerId);
      this.#answer();
    }
  }

  submit(name: string, request: Partial<JobRequest> = {}): void {
    const long = { steps: 1000, checkpointEvery: 1000, ...request };
    this.driver.happens({ kind: "submit", record: record(name, long) });
    this.#answer();
  }

  cancel(job: string): void {
    this.driver.happens({ kind: "cancel", job });
    this.#answer();
  }

  lose(workerId: string): void {
    this.driver.disconnect(workerId);
    this.driver.pass(1000, this.connected());
    this.#answer();
  }

  /** Lets every job that trains commit a step. */
  step(times = 1): void {
    for (let i = 0; i < times; i += 1) {
      for (const [workerId, json] of [...this.#rounds]) {
        this.#rounds.delete(workerId);
        // The cast: this is what JSON makes of the command put in below.
        this.#report(workerId, JSON.parse(json) as Extract<WorkerCommand, { kind: "round" }>);
        this.#answer();
      }
    }
  }

  /** By job: who works on it. */
  get at(): Readonly<Record<string, string>> {
    const statuses = workerStatuses(this.driver.fleet, this.driver.nowMs);
    const at: Record<string, string> = {};
    for (const { id, job } of statuses) if (job !== "") at[job] = `${at[job] ?? ""} ${id}`.trim();
    return at;
  }

  connected(): readonly string[] {
    return [...this.driver.fleet.members.values()]
      .filter(({ link }) => link.kind === "connected")
      .map(({ workerId }) => workerId);
  }

  #answer(): void {
    const open = [...this.driver.commands];
    for (let command = open.shift(); command !== undefined; command = open.shift()) {
      if (command.kind !== "send") continue;
      this.#obey(command.workerId, command.command);
      if (command.command.kind !== "round") open.push(...this.driver.commands);
    }
  }

  #obey(workerId: string, command: WorkerCommand): void {
    const { driver } = this;
    driver.commands = [];
    if (command.kind === "prepare") {
      const { job, attempt } = command.order;
      driver.say(workerId, { kind: "prepared", job, attempt, probe: "probe" });
    } else if (command.kind === "load") {
      const { job, attempt, step } = command;
      driver.say(workerId, { kind: "loaded", job, attempt, step, parameterChecksum: 100 + step });
    } else if (command.kind === "release") {
      this.#rounds.delete(workerId);
      driver.say(workerId, { kind: "released", job: command.job });
    } else if (command.kind === "save") {
      const { job, attempt, what } = command;
      const { step } = driver.record(job);
      const saved = { parameterDigest: "digest", bytes: 1 };
      driver.say(workerId, { kind: "saved", job, attempt, step, what, ...saved });
    } else if (command.kind === "commit") {
      const { job, attempt } = command;
      const step = command.step + 1;
      driver.say(workerId, { kind: "applied", job, attempt, step, parameterChecksum: 100 + step });
    } else if (command.kind === "round") {
      this.#rounds.set(workerId, JSON.stringify(command));
    }
  }

  #report(workerId: string, round: Extract<WorkerCommand, { kind: "round" }>): void {
    const { job, attempt, generation, step, trial } = round;
    const mine = round.members.find((member) => member.workerId === workerId);
    const shards = (mine?.ranges ?? []).flatMap(({ first, end }) =>
      Array.from({ length: end - first }, (_, i) => result(first + i)),
    );
    this.driver.say(workerId, {
      ...{ kind: "report", job, attempt, generation, step, round: "training", sumChecksum: 7 },
      ...{ parameterChecksum: 100 + step, shards, computeMs: 10, exchangeMs: 10, trial },
    });
  }
}

describe("several jobs", () => {
  test("a job gives up what another one needs, at a boundary and no more than that", () => {
    const fleet = new Fleet();
    fleet.join("w1", "w2", "w3", "w4");
    fleet.submit("first", { minWorkers: 1 });
    fleet.step(3);
    expect(fleet.at).toEqual({ first: "w1 w2 w3 w4" });
    fleet.submit("second", { minWorkers: 2 });
    expect(fleet.driver.record("second").state).toBe("queued");
    expect(jobStatus(fleet.driver.fleet, "second").reason).toBe("waits for first");
    fleet.step();
    expect(fleet.at).toEqual({ first: "w1 w2", second: "w3 w4" });
    fleet.step(2);
    expect(fleet.driver.record("second")).toMatchObject({ state: "training", step: 2 });
    expect(fleet.driver.record("first")).toMatchObject({ attempt: 1, state: "training" });
  });

  test("nothing is given up below the minimum, and the other waits whole", () => {
    const fleet = new Fleet();
    fleet.join("w1", "w2", "w3", "w4");
    fleet.submit("first", { minWorkers: 3 });
    fleet.submit("second", { minWorkers: 3 });
    fleet.step(2);
    expect(fleet.at).toEqual({ first: "w1 w2 w3 w4" });
    expect(fleet.driver.record("second").state).toBe("queued");
    fleet.cancel("first");
    fleet.step();
    expect(fleet.driver.record("first").state).toBe("cancelled");
    expect(fleet.at).toEqual({ second: "w1 w2 w3 w4" });
  });

  test("of two that lost workers the one behind gives its own up, goes to the queue, and goes on later", () => {
    const fleet = new Fleet();
    fleet.join("w1", "w2", "w3");
    fleet.submit("first", { minWorkers: 3 });
    fleet.join("w4", "w5", "w6");
    fleet.step();
    fleet.submit("second", { minWorkers: 3 });
    fleet.step(3);
    expect(fleet.at).toEqual({ first: "w1 w2 w3", second: "w4 w5 w6" });
    fleet.lose("w6");
    fleet.step();
    expect(fleet.driver.record("second").state).toBe("waiting");
    fleet.lose("w1");
    fleet.step(2);
    expect(fleet.at).toEqual({ first: "w2 w3 w4 w5" });
    const stopped = fleet.driver.record("second");
    expect(stopped).toMatchObject({ state: "queued", checkpoints: [{ step: stopped.step }] });
    fleet.join("w6", "w7", "w8");
    fleet.step(2);
    expect(fleet.driver.record("second")).toMatchObject({ attempt: 2, state: "training" });
    expect(fleet.driver.record("second").step).toBeGreaterThan(stopped.step);
  });

  test("where one would not be enough, several give theirs up", () => {
    const fleet = new Fleet();
    fleet.join("a1", "a2", "a3");
    fleet.submit("first", { minWorkers: 3 });
    fleet.join("b1", "b2", "b3");
    fleet.submit("second", { minWorkers: 3 });
    fleet.join("c1", "c2", "c3");
    fleet.submit("third", { minWorkers: 3 });
    fleet.step(4);
    expect(Object.keys(fleet.at).length).toBe(3);
    for (const job of ["first", "second", "third"]) {
      const [, second = "", third = ""] = (fleet.at[job] ?? "").split(" ");
      fleet.lose(second);
      fleet.step();
      fleet.lose(third);
      fleet.step(2);
    }
    expect(Object.values(fleet.at).map((ids) => ids.split(" ").length)).toEqual([3]);
    expect(Object.keys(fleet.at)).toEqual(["first"]);
    const others = [fleet.driver.record("second"), fleet.driver.record("third")];
    for (const { state, step, checkpoints } of others) {
      expect([state, checkpoints[0]?.step]).toEqual(["queued", step]);
    }
  });

  test("the higher priority starts first, and takes what a lower one has beyond its minimum", () => {
    const fleet = new Fleet();
    fleet.submit("low", { priority: -1 });
    fleet.submit("high", { priority: 5 });
    fleet.join("w1");
    expect(fleet.at).toEqual({ high: "w1" });
    fleet.join("w2", "w3");
    fleet.step(2);
    // What nobody lacks goes to the more important job; the other one has its minimum.
    expect(fleet.at).toEqual({ high: "w1 w3", low: "w2" });
    fleet.submit("urgent", { priority: 9 });
    fleet.step(2);
    expect(fleet.at).toEqual({ high: "w1", low: "w2", urgent: "w3" });
  });

  test("a job of lower priority takes nothing from a higher one", () => {
    const fleet = new Fleet();
    fleet.join("w1", "w2");
    fleet.submit("high", { priority: 1 });
    fleet.submit("low");
    fleet.step(3);
    expect(fleet.at).toEqual({ high: "w1 w2" });
    expect(fleet.driver.record("low").state).toBe("queued");
  });

  test("a job that needs more workers than there are does not hold up those behind it", () => {
    const fleet = new Fleet();
    fleet.join("w1", "w2");
    fleet.submit("huge", { minWorkers: 3 });
    fleet.submit("small");
    expect(fleet.at).toEqual({ small: "w1 w2" });
    expect(jobStatus(fleet.driver.fleet, "huge").reason).toBe("needs 3 workers; 2 are connected");
    fleet.join("w3");
    fleet.step(2);
    // All three are needed, and small keeps its one: huge waits, and holds up what comes after it.
    fleet.submit("smaller");
    fleet.step(2);
    expect(fleet.at).toEqual({ small: "w1 w2 w3" });
    fleet.cancel("small");
    expect(fleet.at).toEqual({ huge: "w1 w2 w3" });
  });

  test("a cancel touches one job alone", () => {
    const fleet = new Fleet();
    fleet.join("w1", "w2");
    fleet.submit("first");
    fleet.submit("second");
    fleet.step(3);
    const { attempt, generation } = fleet.driver.record("first");
    fleet.cancel("second");
    fleet.step();
    expect(fleet.driver.record("second").state).toBe("cancelled");
    expect(fleet.driver.record("first")).toMatchObject({ attempt, state: "training" });
    expect(fleet.driver.record("first").generation).toBeGreaterThanOrEqual(generation);
    fleet.step(2);
    expect(fleet.at).toEqual({ first: "w1 w2" });
  });

  test("one of another arithmetic that is pinned is of no use to the job that lacks workers", () => {
    const fleet = new Fleet();
    fleet.join("w1", "w2");
    fleet.submit("first", { minWorkers: 2 });
    fleet.step();
    fleet.driver.hello("gpu1", { numerics: "other" });
    fleet.submit("second");
    fleet.step();
    expect(fleet.driver.kinds("gpu1").includes("prepare") || fleet.at["second"] === "gpu1").toBe(
      true,
    );
    expect(fleet.at["first"]).toBe("w1 w2");
  });

  test("after a start of the coordinator every job that was under way goes on", () => {
    const fleet = new Fleet();
    fleet.join("w1", "w2");
    fleet.submit("first");
    fleet.submit("second");
    fleet.step(3);
    const records = [...fleet.driver.fleet.records.values()];
    const next = new FleetDriver(records, 2);
    for (const { name, attempt, step } of records) {
      const workerId = fleet.at[name] ?? "";
      next.hello(workerId, { held: held(step, { job: name, attempt }), term: 1 });
    }
    next.pass(5000, ["w1", "w2"]);
    expect([next.record("first").state, next.record("second").state]).toEqual([
      "training",
      "training",
    ]);
  });
});

test("a job still lacks a worker where two that are ready cannot start together", () => {
  const driver = new FleetDriver();
  driver.hello("w1");
  driver.hello("w2");
  driver.happens({ kind: "submit", record: record("job", { minWorkers: 2 }) });
  expect(lacking(driver.fleet, "job")).toBe(0);
  driver.say("w1", { kind: "prepared", job: "job", attempt: 1, probe: "even" });
  driver.say("w2", { kind: "prepared", job: "job", attempt: 1, probe: "odd" });
  expect(lacking(driver.fleet, "job")).toBe(1);
});

test("a job whose workers cannot all start together keeps as many as it needs of those that can", () => {
  const driver = new FleetDriver();
  const prepared = (workerId: string, probe: string): void =>
    driver.say(workerId, { kind: "prepared", job: "first", attempt: 1, probe });
  driver.happens({ kind: "submit", record: record("first", { minWorkers: 2 }) });
  for (const workerId of ["w1", "w2", "w3", "w4"]) driver.hello(workerId);
  prepared("w1", "odd");
  prepared("w2", "even");
  expect([...(driver.fleet.runs.get("first")?.participants.keys() ?? [])]).toHaveLength(4);
  driver.happens({ kind: "submit", record: record("second", { minWorkers: 2 }) });
  // It would take back at once what it had given.
  expect(driver.kinds("w3")).not.toContain("release");
  prepared("w3", "even");
  prepared("w4", "even");
  expect(driver.record("first").state).toBe("starting");
});

test("one that is to be given up, and turns out to hold a wrong state, is given up at once", () => {
  const driver = FleetDriver.started(["w1", "w2"], { steps: 9 });
  driver.happens({ kind: "submit", record: record("second") });
  expect([...(driver.run?.yields.keys() ?? [])]).toEqual(["w2"]);
  driver.report("w2", upTo(8, 4), { parameterChecksum: 5 });
  expect(driver.kinds("w2")).toContain("release");
  expect(driver.run?.yields.size).toBe(0);
  driver.reportAll();
  expect(driver.record().step).toBe(1);
  driver.released("w2");
  expect(driver.kinds("w2")).toContain("prepare");
});

/** "second" needs two and has two, or one too few if they cannot start together. */
test.each([
  { minWorkers: 1, probe: "probe", lacks: 0 },
  { minWorkers: 2, probe: "odd", lacks: 1 },
])(
  "a job of at least $minWorkers gives up nobody for one that would not ask them",
  ({ minWorkers, probe, lacks }) => {
    const driver = FleetDriver.started(["w1", "w2", "w3"], { minWorkers: 3, steps: 9 });
    driver.hello("w4");
    driver.prepared("w4", "odd");
    driver.released("w4");
    driver.report("w1", upTo(3));
    driver.report("w2", upTo(6, 3));
    const bad = [result(6, { finite: false, loss: NaN }), result(7)];
    driver.report("w3", [], { shards: bad });
    driver.report("w1", [], { shards: [result(6, { check: 1 })] });
    driver.released("w3");
    expect(lacking(driver.fleet, "job")).toBe(1);
    driver.happens({ kind: "submit", record: record("second", { minWorkers }) });
    driver.say("w3", { kind: "prepared", job: "second", attempt: 1, probe: "probe" });
    driver.say("w4", { kind: "prepared", job: "second", attempt: 1, probe });
    expect(lacking(driver.fleet, "second")).toBe(lacks);
    const second = () => driver.fleet.runs.get("second");
    expect(second()).toMatchObject({ suspended: false, yields: new Map() });
    driver.pass(30_000, ["w1", "w2", "w3", "w4"]);
    expect([...(second()?.participants.keys() ?? [])]).toEqual(["w3", "w4"]);
  },
);

describe("a job in the queue for want of its arithmetic", () => {
  test("says what it needs, what each worker has and what helps; the idle worker says why it is", () => {
    const driver = FleetDriver.started(["w1"]);
    driver.report("w1", upTo(8));
    driver.happens({ kind: "cancel", job: "job" });
    driver.saved("w1", "checkpoint", 1);
    driver.released("w1");
    driver.hello("w1", { incarnation: "w1.2", numerics: "other" });
    driver.happens({ kind: "resume", job: "job" });
    expect(jobStatus(driver.fleet, "job")).toMatchObject({
      state: "queued",
      reason:
        'needs 1 worker with the arithmetic of "toy"; w1 has "other": ' +
        "start such a worker; on others the job has to be submitted anew",
    });
    expect(workerStatuses(driver.fleet, driver.nowMs)).toMatchObject([
      {
        state: "spare",
        reason: 'job goes on with the arithmetic of "toy", and this worker\'s is "other"',
      },
    ]);
  });

  test("and that has not begun says so where no two workers are alike", () => {
    const driver = new FleetDriver();
    driver.hello("w1", { numerics: "one" });
    driver.hello("w2", { numerics: "two" });
    driver.happens({ kind: "submit", record: record("job", { minWorkers: 2 }) });
    expect(jobStatus(driver.fleet, "job").reason).toBe(
      'needs 2 workers of one arithmetic; w1 has "one"; w2 has "two": ' +
        "start more that are alike, or submit it with fewer min-workers",
    );
  });
});
