import { advance, emptyFleet } from "../../src/control/fleet.js";
import {
  fleetTimes,
  type FleetCommand,
  type FleetHappening,
  type Origin,
} from "../../src/control/fleetEvent.js";
import { observe, type Observation } from "../../src/control/observing.js";
import type { Fleet, Hello, LoggedLines, Run } from "../../src/control/fleetState.js";
import type {
  HeldState,
  ShardResult,
  WorkerCommand,
  WorkerEvent,
} from "../../src/control/message.js";
import { queuedRecord, type JobRecord } from "../../src/control/record.js";
import { planJob } from "../../src/job/plan.js";
import type { JobRequest } from "../../src/job/settings.js";

const nowhere: Origin = { token: "", address: "" };

type Report = Extract<WorkerEvent, { readonly kind: "report" }>;
type Round = Extract<WorkerCommand, { readonly kind: "round" }>;

/** A job of 8 shards of 2 examples and 3 steps, with nothing to evaluate. */
export function record(name: string, request: Partial<JobRequest> = {}, validation = 0): JobRecord {
  const plan = planJob(
    {
      ...{ name, model: "1-1-1-1x0.5", data: "/data", recipe: "upstream", steps: 3 },
      ...{ batch: 16, shards: 8, microBatch: 2, checkpointEvery: 2, audit: 0 },
      ...request,
    },
    {
      classes: ["a", "b"],
      trainingCounts: [50, 50],
      validationCounts: [validation, 0],
      medianWidth: 32,
      medianHeight: 32,
      leftOut: [],
      digest: "index",
    },
  );
  return queuedRecord({
    ...{ name, requestId: name, order: 0, plan, indexDigest: "index", createdMs: 1 },
  });
}

/** Plays workers to a fleet, by hand, and keeps what it says. */
export class FleetDriver {
  fleet: Fleet;
  nowMs = 0;
  /** Of the last event, or of all the time that passed. */
  commands: readonly FleetCommand[] = [];
  /** Of all events, in order. */
  readonly observed: Observation[] = [];
  readonly records = new Map<string, JobRecord>();
  readonly #origins = new Map<string, Origin>();

  constructor(
    records: readonly JobRecord[] = [],
    term = 1,
    logged: ReadonlyMap<string, LoggedLines> = new Map(),
  ) {
    const options = {
      ...fleetTimes,
      leaseMs: 5_000,
      goneMs: 20_000,
      ...{
        term,
        nats: { url: "nats", user: "", secret: "" },
        store: "/store",
        joinLine: "join me",
      },
    };
    this.fleet = emptyFleet(options, records, logged, this.nowMs);
  }

  /** The job under way that came first. */
  get run(): Run | undefined {
    return [...this.fleet.runs.values()][0];
  }

  happens(event: FleetHappening): void {
    const { fleet, commands } = advance(this.fleet, {
      ...event,
      nowMs: this.nowMs,
      wallMs: 1e12 + this.nowMs,
    });
    this.observed.push(...observe(this.fleet, fleet, event));
    this.fleet = fleet;
    this.commands = commands;
    for (const command of commands) {
      if (command.kind === "record") this.records.set(command.record.name, command.record);
    }
  }

  /** A stream's first event; where another process has the name its stream ends before, and its time is over. */
  hello(workerId: string, how: Partial<Hello> = {}, origin: Partial<Origin> = {}): void {
    const known = this.fleet.members.get(workerId);
    const { incarnation = `${workerId}.1` } = how;
    const before: FleetCommand[] = [];
    if (known !== undefined && known.incarnation !== incarnation && known.link.kind !== "lost") {
      this.happens({ kind: "disconnected", workerId, incarnation: known.incarnation });
      before.push(...this.commands);
      for (let ms = 0; ms < this.fleet.options.reconnectMs; ms += 250) {
        this.nowMs += 250;
        this.happens({ kind: "tick" });
        before.push(...this.commands);
      }
    }
    this.greet(workerId, how, origin);
    this.commands = [...before, ...this.commands];
  }

  /** Just the first event of a stream. */
  greet(workerId: string, how: Partial<Hello> = {}, origin: Partial<Origin> = {}): void {
    const event: Hello = {
      ...{ kind: "hello", workerId, incarnation: `${workerId}.1`, host: "host", pid: 1 },
      secret: "secret",
      ...{ device: "toy", gpu: false, numerics: "toy", term: 0, held: undefined },
      ...how,
    };
    this.#origins.set(event.incarnation, { ...nowhere, ...origin });
    this.say(workerId, event, event.incarnation);
  }

  say(workerId: string, event: WorkerEvent, incarnation = `${workerId}.1`): void {
    const origin = this.#origins.get(incarnation) ?? nowhere;
    this.happens({ kind: "worker", workerId, incarnation, origin, event });
  }

  disconnect(workerId: string): void {
    this.happens({ kind: "disconnected", workerId, incarnation: `${workerId}.1` });
  }

  /** Lets time pass, tick by tick, while those workers beat. */
  pass(ms: number, beating: readonly string[] = []): void {
    const end = this.nowMs + ms;
    const all: FleetCommand[] = [];
    while (this.nowMs < end) {
      this.nowMs = Math.min(end, this.nowMs + 250);
      for (const workerId of beating) {
        this.beat(workerId, 0);
        all.push(...this.commands);
      }
      this.happens({ kind: "tick" });
      all.push(...this.commands);
    }
    this.commands = all;
  }

  /** `waited`: the ids of those whose frames it lacks, with blanks between. */
  beat(workerId: string, shardsDone: number, waited = "", natsAgeMs = 1): void {
    const waitingFor = waited.split(" ").filter((id) => id !== "");
    this.say(workerId, {
      ...{ kind: "beat", phase: "computing", waitingFor, natsAgeMs, shardsDone },
      ...{ residentBytes: 1, childSilentMs: 0, unitMs: 0 },
    });
  }

  /** What the last event had sent to that worker. */
  sent(workerId: string): readonly WorkerCommand[] {
    return this.commands.flatMap((command) =>
      command.kind === "send" && command.workerId === workerId ? command.command : [],
    );
  }

  kinds(workerId: string): readonly string[] {
    return this.sent(workerId).map(({ kind }) => kind);
  }

  /** The round that the last event told that worker. */
  round(workerId: string): Round {
    const round = this.sent(workerId).find((command) => command.kind === "round");
    if (round === undefined) throw new Error(`no round was told ${workerId}`);
    return round;
  }

  said(): readonly string[] {
    return this.commands.flatMap((command) => (command.kind === "log" ? command.message : []));
  }

  record(job = "job"): JobRecord {
    const found = this.fleet.records.get(job);
    if (found === undefined) throw new Error(`no record of ${job}`);
    return found;
  }

  prepared(workerId: string, probe = "probe", attempt = this.record().attempt): void {
    this.say(workerId, { kind: "prepared", job: "job", attempt, probe });
  }

  loaded(workerId: string, step = 0, parameterChecksum = 100 + step): void {
    const { attempt } = this.record();
    this.say(workerId, { kind: "loaded", job: "job", attempt, step, parameterChecksum });
  }

  applied(workerId: string, step: number, parameterChecksum = 100 + step): void {
    const { attempt } = this.record();
    this.say(workerId, { kind: "applied", job: "job", attempt, step, parameterChecksum });
  }

  saved(workerId: string, what: "checkpoint" | "weights", step: number): void {
    const { attempt } = this.record();
    this.say(workerId, {
      ...{
        kind: "saved",
        job: "job",
        attempt,
        step,
        what,
        parameterDigest: "digest",
        bytes: 1,
      },
    });
  }

  released(workerId: string): void {
    this.say(workerId, { kind: "released", job: "job" });
  }

  /** Reports those shards of the round under way, unless something is said otherwise. */
  report(workerId: string, shards: readonly number[], how: Partial<Report> = {}): void {
    const { attempt, generation, step } = this.record();
    const phase = this.fleet.runs.get("job")?.phase;
    this.say(workerId, {
      ...{ kind: "report", job: "job", attempt, generation, step, round: "training" },
      trial: phase?.kind === "round" ? phase.trial : 0,
      ...{ sumChecksum: 7, parameterChecksum: 100 + step, computeMs: 10, exchangeMs: 10 },
      shards: shards.map((shard) => result(shard)),
      ...how,
    });
  }

  /** The members report all of the round under way. */
  reportAll(): void {
    const { phase } = this.run ?? {};
    if (phase?.kind !== "round") throw new Error("no round is under way");
    for (const [workerId, ranges] of phase.dealt) {
      const own = ranges.flatMap(({ first, end }) => upTo(end, first));
      const checks = phase.checks.get(workerId) ?? [];
      this.report(workerId, own, {
        shards: [
          ...own.map((shard) => result(shard)),
          ...checks.map(({ shard, number }) => result(shard, { check: number })),
        ],
      });
    }
  }

  /** A job that these workers have started, with the first round told. */
  static started(workers: readonly string[], request: Partial<JobRequest> = {}): FleetDriver {
    const driver = new FleetDriver();
    driver.start(workers, request);
    return driver;
  }

  start(workers: readonly string[], request: Partial<JobRequest> = {}): void {
    for (const workerId of workers) this.hello(workerId);
    this.happens({ kind: "submit", record: record("job", request) });
    for (const workerId of workers) this.prepared(workerId);
    for (const workerId of workers) this.loaded(workerId);
  }
}

export function result(shard: number, how: Partial<ShardResult> = {}): ShardResult {
  const checksums = { inputChecksum: shard, gradientChecksum: 0 };
  return { shard, loss: 1, count: 2, correct: 0, finite: true, ...checksums, check: 0, ...how };
}

export function held(step: number, how: Partial<HeldState> = {}): HeldState {
  return {
    ...{ job: "job", attempt: 1, step, parameterChecksum: 100 + step, ranges: [] },
    ...{ summed: false, trail: [], trial: 0 },
    ...how,
  };
}

export function upTo(end: number, first = 0): readonly number[] {
  return Array.from({ length: end - first }, (_, i) => first + i);
}
