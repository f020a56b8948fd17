/** Runs the job while the faults of a schedule are done to its fleet. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { JobStatus, LogLine } from "../../src/client/client.js";
import { inject } from "./faults.js";
import type { ChaosFleet } from "./fleet.js";
import { Follower } from "./follower.js";
import { chaosJob } from "./job.js";
import type { Death } from "./ledger.js";
import { timeToCommit, type Done } from "./measure.js";
import type { Fault } from "./schedule.js";

export interface Disturbed {
  readonly status: JobStatus;
  readonly follower: Follower;
  readonly faults: readonly Done[];
  readonly deaths: readonly Death[];
}

export interface DisturbedOptions {
  readonly steps: number;
  readonly faults: readonly Fault[];
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** The job is given up when so long after the last commit and the end of the last fault nothing is committed. */
const stallMs = 90_000;
/** The chaos begins with a job that is under way. */
const stepsBefore = 3;

/** Throws when the job stalls. */
export async function runDisturbed(
  fleet: ChaosFleet,
  options: DisturbedOptions,
): Promise<Disturbed> {
  const run = new Run(fleet, options);
  return await run.toItsEnd();
}

interface Course {
  readonly kind: Fault["kind"];
  readonly worker: number;
  readonly hit: boolean;
  readonly startMs: number;
  endMs: number | undefined;
  isTold: boolean;
}

class Run {
  readonly #fleet: ChaosFleet;
  readonly #options: DisturbedOptions;
  readonly #follower: Follower;
  readonly #giveUp = new AbortController();
  readonly #courses: Course[] = [];
  readonly #deaths: Death[] = [];
  readonly #over: Promise<void>[] = [];
  #startMs = 0;

  constructor(fleet: ChaosFleet, options: DisturbedOptions) {
    this.#fleet = fleet;
    this.#options = options;
    const signal = AbortSignal.any([options.signal, this.#giveUp.signal]);
    this.#follower = new Follower(fleet.client, name, signal);
  }

  async toItsEnd(): Promise<Disturbed> {
    const { steps } = this.#options;
    await this.#fleet.client.submit(chaosJob(this.#fleet.folder, name, steps));
    await this.#follower.committed(stepsBefore);
    this.#startMs = Date.now();
    const looking = setInterval(() => this.#look(), 250);
    const ended = new AbortController();
    const doing = this.#doFaults(ended.signal);
    try {
      const status = await this.#follower.ended;
      return { status, follower: this.#follower, faults: this.#courses, deaths: this.#deaths };
    } catch (error) {
      for (const line of this.#follower.lines.slice(-lastWords)) this.#options.say(told(line));
      throw error;
    } finally {
      keepStory(this.#fleet, this.#follower.lines);
      ended.abort();
      clearInterval(looking);
      await doing;
      if (!this.#options.signal.aborted) await Promise.all(this.#over);
      this.#tell(true);
    }
  }

  async #doFaults(ended: AbortSignal): Promise<void> {
    for (const fault of this.#options.faults) {
      const waitMs = this.#startMs + fault.atMs - Date.now();
      await sleep(Math.max(0, waitMs), undefined, { signal: ended }).catch(() => undefined);
      if (ended.aborted) return;
      this.#do(fault);
    }
  }

  #do(fault: Fault): void {
    const startMs = Date.now();
    const { hit, died, over } = inject(this.#fleet, fault);
    const { kind, worker } = fault;
    const course: Course = { kind, worker, hit, startMs, endMs: undefined, isTold: !hit };
    this.#courses.push(course);
    if (died !== undefined) this.#deaths.push({ worker: died, atMs: startMs });
    this.#over.push(over.then(() => void (course.endMs = Date.now())));
    if (!hit) this.#options.say(`${this.#describe(course)}: was not there`);
  }

  #look(): void {
    this.#tell(false);
    const { commits } = this.#follower;
    const ends = this.#courses.map(({ endMs }) => endMs ?? Date.now());
    const last = Math.max(this.#startMs, commits.at(-1)?.atMs ?? 0, ...ends);
    if (Date.now() - last < stallMs) return;
    const said = this.#follower.lines.at(-1)?.message ?? "";
    this.#giveUp.abort(
      new Error(`nothing was committed for ${stallMs / 1000} s; the job's last words: ${said}`),
    );
  }

  /** One line per fault, once it is known what it cost. */
  #tell(all: boolean): void {
    const times = this.#follower.commits.map(({ atMs }) => atMs);
    for (const course of this.#courses) {
      if (course.isTold) continue;
      const ms = timeToCommit(times, course.startMs);
      if (ms === undefined && !all) continue;
      course.isTold = true;
      const cost = ms === undefined ? "no commit after it" : `next commit after ${seconds(ms)}`;
      this.#options.say(`${this.#describe(course)}: ${cost}`);
    }
  }

  #describe({ kind, worker, startMs, endMs }: Course): string {
    const whom = /^(coordinator|nats-(kill|stop))/.test(kind) ? "" : ` of worker ${worker + 1}`;
    const length =
      endMs === undefined || endMs - startMs < 50 ? "" : `, ${seconds(endMs - startMs)}`;
    return `${seconds(startMs - this.#startMs).padStart(9)}  ${kind}${whom}${length}`;
  }
}

const name = "disturbed";
/** Of the job's log, should it come to no end. */
const lastWords = 30;

function told({ timeMs, message }: LogLine): string {
  return `${new Date(timeMs).toISOString().slice(11, 23)}  ${message}`;
}

/** Beside the logs of the processes. */
function keepStory(fleet: ChaosFleet, lines: readonly LogLine[]): void {
  writeFileSync(join(fleet.folder, "logs", "job.log"), `${lines.map(told).join("\n")}\n`);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
