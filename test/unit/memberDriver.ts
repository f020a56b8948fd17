import { advanceMember, emptyMember, type Member } from "../../src/control/member.js";
import type {
  ChildCommand,
  ChildEvent,
  MemberAction,
  MemberHappening,
} from "../../src/control/memberEvent.js";
import type { JobOrder, WorkerCommand, WorkerEvent } from "../../src/control/message.js";
import type { Range } from "../../src/plan/tree.js";
import { record } from "./fleetDriver.js";

export const plan = record("job").plan;
export const order: JobOrder = {
  ...{ job: "job", attempt: 1, settings: plan.settings, schedule: plan.schedule, classes: 2 },
  ...{ trainingExamples: 100, validationExamples: 0, indexDigest: "index" },
};

const talk: ChildEvent = {
  ...{ kind: "exchanging", waitingFor: [], natsAgeMs: 3, residentBytes: 9, unitMs: 40 },
};

/** One worker's machine, driven by hand. */
export class MemberDriver {
  member: Member = emptyMember({
    ...{ workerId: "w1", incarnation: "w1.1", secret: "secret", host: "host", pid: 1 },
    ...{ device: "toy", gpu: false, numerics: "toy" },
  });
  nowMs = 0;
  /** Of the last event. */
  actions: readonly MemberAction[] = [];

  happens(event: MemberHappening): void {
    const { member, actions } = advanceMember(this.member, { ...event, nowMs: this.nowMs });
    this.member = member;
    this.actions = actions;
  }

  told(command: WorkerCommand, term = 1): void {
    this.happens({ kind: "command", term, command });
  }

  child(event: ChildEvent): void {
    this.happens({ kind: "child", event });
  }

  /** Time passes between two ticks, as for a worker that stands still. */
  pass(ms: number): void {
    this.happens({ kind: "tick" });
    this.nowMs += ms;
    this.happens({ kind: "tick" });
  }

  /** Time passes tick by tick, while each beat is answered and the child talks; all actions of it. */
  wait(ms: number, { answered = true, childTalks = true } = {}): void {
    const all: MemberAction[] = [];
    for (const endMs = this.nowMs + ms; this.nowMs < endMs;) {
      this.nowMs = Math.min(endMs, this.nowMs + 100);
      this.happens({ kind: "tick" });
      all.push(...this.actions);
      if (answered && this.kinds().includes("beat")) this.told({ kind: "heard" });
      if (childTalks) this.child(talk);
    }
    this.actions = all;
  }

  welcomed(term = 1): void {
    this.happens({ kind: "connected" });
    this.told(
      {
        kind: "welcome",
        leaseMs: 5000,
        beatMs: 500,
        nats: { url: "", user: "", secret: "" },
        store: "",
      },
      term,
    );
  }

  toChild(): readonly ChildCommand[] {
    return this.actions.flatMap((one) => (one.kind === "to-child" ? one.command : []));
  }

  said(): readonly WorkerEvent[] {
    return this.actions.flatMap((one) => (one.kind === "to-coordinator" ? one.event : []));
  }

  kinds(): readonly string[] {
    return this.actions.map((one) =>
      one.kind === "to-child"
        ? one.command.kind
        : one.kind === "to-coordinator"
          ? one.event.kind
          : one.kind,
    );
  }

  round(
    ranges: readonly Range[],
    step = 0,
    generation = 1,
    round: "training" | "evaluation" = "training",
  ): void {
    this.told({
      ...{
        kind: "round",
        job: "job",
        attempt: 1,
        generation,
        step,
        round,
        shardCount: 8,
        trial: 0,
      },
      members: [
        { workerId: "w1", address: "w1.1", ranges, finished: false, checks: [] },
        { workerId: "w2", address: "w2.1", ranges: [], finished: false, checks: [] },
      ],
      followers: [],
    });
  }

  /** The round of that step, of which this worker only collects the sum. */
  follow(step: number): void {
    const members = [
      {
        workerId: "w2",
        address: "w2.1",
        ranges: [{ first: 0, end: 8 }],
        finished: false,
        checks: [],
      },
    ];
    this.told({
      ...{ kind: "round", job: "job", attempt: 1, generation: 1, step, round: "training" },
      ...{ shardCount: 8, trial: 0, members, followers: ["w1.1"] },
    });
  }

  shard(shard: number, step = 0, round: "training" | "evaluation" = "training"): void {
    const result = {
      ...{ shard, loss: 1, count: 2, correct: 0, finite: true, inputChecksum: 1 },
      ...{ gradientChecksum: 0, check: 0 },
    };
    const parameterChecksum = undefined;
    this.child({
      kind: "shard",
      attempt: 1,
      step,
      round,
      result,
      computeMs: 10,
      parameterChecksum,
    });
  }

  summed(step = 0, trial = 0): void {
    this.child({ kind: "summed", attempt: 1, step, trial, sumChecksum: 7, exchangeMs: 20 });
  }

  commit(step: number, save = false): void {
    this.told({
      kind: "commit",
      job: "job",
      attempt: 1,
      step,
      save,
      facts: { step, loss: 1, sumChecksum: 7 },
    });
  }

  load(
    step: number,
    source: Extract<WorkerCommand, { kind: "load" }>["source"] = { kind: "initial" },
  ): void {
    this.told({ kind: "load", job: "job", attempt: 1, step, source });
  }

  /** A worker that holds state 0. */
  static holding(): MemberDriver {
    const driver = new MemberDriver();
    driver.welcomed();
    driver.told({ kind: "prepare", order });
    driver.child({ kind: "prepared", probe: "probe" });
    driver.load(0);
    driver.child({ kind: "loaded", step: 0, parameterChecksum: 100 });
    return driver;
  }
}
