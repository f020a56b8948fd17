import type { Run } from "../../../src/control/fleetState.js";
import type { LogFields } from "../../../src/control/fleetEvent.js";
import type { JobOrder, WorkerCommand } from "../../../src/control/message.js";
import { expectedEvaluation, type ToyJob } from "./toyJob.js";
import type { JobRecord } from "../../../src/control/record.js";
import { passProblem } from "./passes.js";
import type { Line } from "./shelf.js";
import { checksumOf, usesOf, type Reference, type Toy, type ToyState } from "./toy.js";

type Commit = Extract<WorkerCommand, { readonly kind: "commit" }>;

/**
 * The checker's own books. It hears from children what they compute, add up and hold, and from
 * coordinators what they decide, and compares with a replay on one worker in plain code. Nothing
 * here is taken from the machines under test.
 */
export class Ledger {
  readonly mistakes: string[] = [];
  rounds = 0;
  /** Steps decided again by a later coordinator, which did not know of the first decision. */
  redone = 0;
  /** How often a job went back to a checkpoint. */
  rewound = 0;
  readonly #jobs: ReadonlyMap<string, ToyJob>;
  readonly #computed = new Set<string>();
  /** By job, attempt and step: the life of the coordinator that decided first. */
  readonly #decided = new Map<string, number>();
  /** By job and step. */
  readonly #decidedEver = new Set<string>();
  /** By life, job and attempt: the last step decided. */
  readonly #last = new Map<string, number>();
  /** By job, then by step: how often each shard went into the sum that was applied. */
  readonly #uses = new Map<string, (readonly number[])[]>();
  readonly #obeyed = new Map<string, number>();
  /** By job from its first commit on, and by job and attempt: the arithmetic that it is computed with. */
  readonly #arithmetic = new Map<string, string>();
  /** By round and generation: who was dealt what. */
  readonly #deals = new Map<string, string>();
  /** By job: the newest attempt and generation that have ever been durable. */
  readonly #kept = new Map<string, { readonly attempt: number; readonly generation: number }>();
  /** By job: the steps whose checkpoints its durable record names. */
  readonly #checkpoints = new Map<string, readonly number[]>();
  /** By life of a coordinator: jobs of which nothing more may be decided. */
  readonly #cancelled = new Set<string>();
  /** By job: the term of the coordinator that said so. */
  readonly #removed = new Map<string, number>();
  #lastMs: number | undefined;
  /** The longest time between two decisions of one job. */
  longestGapMs = 0;
  /** Of the first job: what rounds in which somebody joined took longer than the longer of the two before. */
  joinCostMs = 0;
  #joined = false;
  readonly #gapsMs: number[] = [];

  constructor(jobs: readonly ToyJob[]) {
    this.#jobs = new Map(jobs.map((job) => [job.name, job]));
  }

  mistake(text: string): void {
    if (this.mistakes.length < 10) this.mistakes.push(text);
  }

  computes({ job, attempt }: JobOrder, step: number, shard: number, arithmetic: string): void {
    // Before the first commit an attempt may begin anew with other workers.
    const known =
      this.#arithmetic.get(job) ?? this.#arithmetic.get(`${job}/${attempt}`) ?? arithmetic;
    this.#arithmetic.set(`${job}/${attempt}`, known);
    if (known !== arithmetic)
      this.mistake(`${job} is computed with ${known} and with ${arithmetic}`);
    this.#computed.add(`${job}/${attempt}/${step}/${shard}`);
  }

  /** A child holds the state of that step. */
  holds({ job, attempt }: JobOrder, step: number, state: ToyState, address: string): void {
    const expected = this.#jobs.get(job)?.expected.checksums[step];
    const isSame =
      expected?.parameters === checksumOf(state.parameters) &&
      expected.momentum === checksumOf(state.momentum);
    if (!isSame)
      this.mistake(`${address} holds a wrong state ${step} of ${job}, attempt ${attempt}`);
  }

  /** A child applies that sum to state `step`. */
  applies({ job, attempt }: JobOrder, step: number, sum: Float32Array, address: string): void {
    const known = this.#jobs.get(job);
    if (known === undefined) return this.mistake(`${address} trains unknown ${job}`);
    const uses = usesOf(known.toy, sum);
    const all = this.#uses.get(job) ?? [];
    all[step] = uses;
    this.#uses.set(job, all);
    uses.forEach((use, shard) => {
      if (use !== 1)
        this.mistake(`shard ${shard} of step ${step} of ${job} is in the sum ${use} times`);
    });
    if (checksumOf(sum) !== known.expected.sums[step]) {
      this.mistake(`${address} applies a wrong sum in step ${step} of ${job}, attempt ${attempt}`);
    }
    if (!this.#decided.has(`${job}/${attempt}/${step}`)) {
      this.mistake(`${address} applies step ${step} of ${job}, which nobody has decided`);
    }
  }

  /** Whether any step of the job has been decided. */
  hasBegun(job: string): boolean {
    return this.#decidedEver.has(`${job}/0`);
  }

  /** A record is durable. */
  keeps({ name, attempt, generation, checkpoints }: JobRecord): void {
    this.#checkpoints.set(
      name,
      checkpoints.map(({ step }) => step),
    );
    if (!this.#isKept(name, attempt, generation)) this.#kept.set(name, { attempt, generation });
  }

  /** A child finds no such checkpoint. One that stood still may have been told of it before it was given up. */
  lacks({ job }: JobOrder, step: number, address: string): void {
    if (this.#checkpoints.get(job)?.includes(step) === true)
      this.mistake(`${address}: no checkpoint of step ${step}, which the record names`);
  }

  /**
   * A coordinator sends something. What it follows from must be kept by then, and one generation of
   * a round is one deal, whichever coordinator tells it.
   */
  sends(command: WorkerCommand): void {
    if (command.kind === "prepare") {
      const { job, attempt } = command.order;
      if (this.#removed.has(job)) this.mistake(`${job} is begun after it was removed`);
      if (!this.#isKept(job, attempt, 0)) {
        this.mistake(`attempt ${attempt} of ${job} is begun unrecorded`);
      }
    }
    if (command.kind !== "round") return;
    const { job, attempt, generation, step, round } = command;
    if (!this.#isKept(job, attempt, generation)) {
      this.mistake(`generation ${generation} of ${job} is told unrecorded`);
    }
    const key = `${job}/${attempt}/${step}/${round}/${generation}`;
    const deal = JSON.stringify(command.members.map(({ address, ranges }) => [address, ranges]));
    const known = this.#deals.get(key) ?? deal;
    this.#deals.set(key, known);
    if (known !== deal) this.mistake(`generation ${generation} of step ${step} has two deals`);
  }

  /** Whoever asked for it was told that the job is removed. */
  removes(job: string, term: number): void {
    this.#removed.set(job, term);
  }

  /** Which jobs a coordinator knows: neither who removed one nor any later coordinator knows it again. */
  knows(term: number, records: { has(job: string): boolean } | undefined): void {
    for (const [job, since] of this.#removed)
      if (term >= since && records?.has(job) === true)
        this.mistake(`${job} is there again after it was removed`);
  }

  /** A coordinator writes in a job's log. */
  logs(life: number, job: string, message: string, fields: LogFields, nowMs: number): void {
    if (message === "is being cancelled")
      this.#cancelled.add(`${life}/${job}/${String(fields["attempt"])}`);
    if (job === "first" && / joined at /.test(message)) this.#joined = true;
    if (!message.startsWith("evaluation at ")) return;
    this.#times(job, Number(fields["step"]), nowMs);
    this.#evaluates(job, fields);
  }

  /** A job goes back to its checkpoint: nobody who lives may hold what it gives up. */
  rewinds(job: string, message: string, survivors: readonly string[]): void {
    this.rewound += 1;
    if (survivors.length > 0)
      this.mistake(`${job}: ${message}, although ${survivors.join(", ")} held it and lived`);
  }

  /** A job's log as it is kept must tell of every step and evaluation once, in order. */
  checkLog(job: ToyJob, lines: readonly Line[]): void {
    const { name, toy, expected } = job;
    const told = lines
      .filter(({ message }) => /^step \d+ of \d+$|^evaluation at step/.test(message))
      .map(({ message, fields: { step, loss } }) =>
        [message.split(" ", 1)[0], step, loss].join(" "),
      );
    const due = expected.losses.flatMap((mean, i) => {
      const step = i + 1;
      const line = `step ${step} ${rounded(mean)}`;
      const state = expected.states[step];
      if (state === undefined || (step % 5 !== 0 && step !== toy.steps)) return line;
      return [line, `evaluation ${step} ${rounded(expectedEvaluation(job, state, step).loss)}`];
    });
    if (told.join() !== due.join()) this.mistake(`the log of ${name} tells ${told.join(", ")}`);
  }

  /** A coordinator tells someone to apply a step: it has decided it, or says again that it has. */
  decides(life: number, { job, attempt, step, facts }: Commit, nowMs: number): void {
    const known = this.#jobs.get(job)?.expected;
    if (facts?.loss !== known?.losses[step] || facts?.sumChecksum !== known?.sums[step]) {
      this.mistake(`step ${step} of ${job} came to ${JSON.stringify(facts)}`);
    }
    const line = `${life}/${job}/${attempt}`;
    const last = this.#last.get(line);
    if (step === last) return;
    if (last !== undefined && step !== last + 1) {
      this.mistake(`step ${step} of ${job}, attempt ${attempt} is decided after step ${last}`);
    }
    this.#last.set(line, step);
    this.rounds += 1;
    this.#times(job, step + 1, nowMs);
    const key = `${job}/${attempt}/${step}`;
    if (!this.hasBegun(job)) {
      this.#arithmetic.set(job, this.#arithmetic.get(`${job}/${attempt}`) ?? "none");
    }
    this.#decidedEver.add(`${job}/${step}`);
    if (this.#decided.has(key)) this.redone += 1;
    else {
      this.#decided.set(key, life);
      if (this.#cancelled.has(line)) {
        this.mistake(`step ${step} of ${job} is decided after the job was cancelled`);
      }
    }
    for (let shard = 0; shard < (this.#jobs.get(job)?.toy.shards ?? 0); shard += 1) {
      if (!this.#computed.has(`${key}/${shard}`)) {
        this.mistake(`step ${step} of ${job} is decided before shard ${shard} is computed`);
      }
    }
  }

  /** Whom a coordinator has at which job: a worker can be at one only. */
  assigns(runs: Iterable<Pick<Run, "job" | "participants">>): void {
    const jobs = new Map<string, string>();
    for (const { job, participants } of runs) {
      for (const workerId of participants.keys()) {
        const other = jobs.get(workerId);
        if (other !== undefined) this.mistake(`${workerId} is at ${other} and at ${job}`);
        jobs.set(workerId, job);
      }
    }
  }

  /** A worker does what a coordinator of that term told it. */
  obeys(incarnation: string, term: number): void {
    const highest = this.#obeyed.get(incarnation) ?? 0;
    if (term < highest) this.mistake(`${incarnation} obeyed term ${term} after ${highest}`);
    this.#obeyed.set(incarnation, Math.max(term, highest));
  }

  /** A job is done. */
  ends({ name, evaluations, weights, loss }: JobRecord, toy: Toy, expected: Reference): void {
    const job = this.#jobs.get(name);
    const last = expected.states[toy.steps];
    if (job === undefined || last === undefined) return this.mistake(`unknown ${name} is done`);
    if (weights?.parameterDigest !== String(checksumOf(last.parameters))) {
      this.mistake(`the weights of ${name} are not those of one worker`);
    }
    if (loss !== expected.losses[toy.steps - 1])
      this.mistake(`the last loss of ${name} is ${loss ?? NaN}`);
    const steps = evaluations.map(({ step }) => step).toSorted((a, b) => a - b);
    const due = Array.from({ length: toy.steps }, (_, step) => step + 1).filter(
      (step) => step % 5 === 0 || step === toy.steps,
    );
    if (String(steps) !== String(due)) this.mistake(`${name} was evaluated at ${String(steps)}`);
    for (const { step, ...result } of evaluations) {
      const state = expected.states[step] ?? last;
      const right = expectedEvaluation(job, state, step);
      if (JSON.stringify(result) !== JSON.stringify(right)) {
        this.mistake(`the record of ${name} has a wrong evaluation of step ${step}`);
      }
    }
    const problem = passProblem(toy, this.#uses.get(name) ?? []);
    if (problem !== undefined) this.mistake(`${name}: ${problem}`);
    for (let step = 0; step < toy.steps; step += 1) {
      if (!this.#decidedEver.has(`${name}/${step}`))
        this.mistake(`${name} is done, and nobody has decided step ${step}`);
    }
  }

  /** Whether that, or something newer, has ever been durable. */
  #isKept(job: string, attempt: number, generation: number): boolean {
    const kept = this.#kept.get(job) ?? { attempt: -1, generation: -1 };
    return kept.attempt > attempt || (kept.attempt === attempt && kept.generation >= generation);
  }

  #times(job: string, step: number, nowMs: number): void {
    const isFirst = job !== "first" || step === 1;
    if (!isFirst && this.#lastMs !== undefined) {
      this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs);
      const gapMs = nowMs - this.#lastMs;
      const usualMs = Math.max(...this.#gapsMs.slice(-2));
      if (this.#joined && this.#gapsMs.length >= 2) {
        this.joinCostMs = Math.max(this.joinCostMs, gapMs - usualMs);
      }
      this.#gapsMs.push(gapMs);
    }
    if (job === "first") this.#joined = false;
    this.#lastMs = job === "first" ? nowMs : undefined;
  }

  #evaluates(job: string, fields: LogFields): void {
    this.rounds += 1;
    const known = this.#jobs.get(job);
    const step = Number(fields["step"]);
    const state = known?.expected.states[step];
    if (known === undefined || state === undefined) return this.mistake(`evaluation of ${job}`);
    const { correct, total, loss } = expectedEvaluation(known, state, step);
    const isSame =
      fields["correct"] === correct &&
      fields["total"] === total &&
      fields["loss"] === rounded(loss);
    if (!isSame) this.mistake(`evaluation of ${job} at step ${step}: ${JSON.stringify(fields)}`);
  }
}

function rounded(value: number): number {
  return Number(value.toPrecision(6));
}
