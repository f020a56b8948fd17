import type { LineEvent, LogFields } from "../../../src/control/fleetEvent.js";
import type { LoggedLines } from "../../../src/control/fleetState.js";
import { loggedIn } from "../../../src/control/history.js";
import type { JobRecord } from "../../../src/control/record.js";
import { MemoryTerms } from "../../support/termBook.js";
import type { ToyState } from "./toy.js";

export interface Line {
  readonly message: string;
  readonly event?: LineEvent;
  readonly fields: LogFields;
}

/** What outlives every process and NATS: the store with checkpoints and a second copy of every record, and the jobs' logs. */
export class Shelf {
  /** By job: the record, and the term of the coordinator that wrote it. */
  readonly copies = new Map<string, { readonly record: JobRecord; readonly term: number }>();
  /** The terms that coordinators have claimed. */
  readonly terms = new MemoryTerms();
  /** Files that say which jobs were removed. */
  readonly marks = new Set<string>();
  readonly #indexes = new Set<string>();
  readonly #checkpoints = new Map<string, Map<number, ToyState>>();
  /** Written after the job was removed, by a worker that did not know. */
  readonly #late = new Set<string>();

  readonly #lines = new Map<string, Line[]>();
  /** Whoever took the logs over last writes them, and nobody of a lower term. */
  #logTerm = 0;

  lines(job: string): readonly Line[] {
    return this.#lines.get(job) ?? [];
  }

  takeOver(term: number): ReadonlyMap<string, LoggedLines> {
    this.#logTerm = Math.max(this.#logTerm, term);
    return new Map(
      [...this.#lines].flatMap(([job, lines]) => {
        const shown = loggedIn(lines);
        return shown === undefined ? [] : [[job, shown] as const];
      }),
    );
  }

  append(term: number, job: string, line: Line): boolean {
    if (term < this.#logTerm) return false;
    this.#lines.set(job, [...this.lines(job), line]);
    return true;
  }

  putIndex(digest: string): void {
    this.#indexes.add(`indexes/${digest}.json`);
  }

  hasIndex(digest: string): boolean {
    return this.#indexes.has(`indexes/${digest}.json`);
  }

  /** What the store lists. */
  files(): string[] {
    const saved = [...this.#checkpoints].flatMap(([job, steps]) =>
      [...steps.keys()].map((step) => fileOf(job, step)),
    );
    return [...this.marks, ...this.#indexes, ...saved].toSorted();
  }

  delete(file: string): void {
    this.#indexes.delete(file);
    this.marks.delete(file);
    for (const [job, steps] of this.#checkpoints)
      for (const step of steps.keys()) if (fileOf(job, step) === file) steps.delete(step);
  }

  /** Files of a job that was removed, but for those that came later. */
  leftOf(job: string): readonly string[] {
    return this.files().filter((file) => file.startsWith(`jobs/${job}/`) && !this.#late.has(file));
  }

  forgetLines(job: string): void {
    this.#lines.delete(job);
  }

  put(job: string, step: number, state: ToyState): void {
    if (this.#isMarked(job)) this.#late.add(fileOf(job, step));
    const steps = this.#checkpoints.get(job) ?? new Map<number, ToyState>();
    this.#checkpoints.set(job, steps.set(step, state));
  }

  get(job: string, step: number): ToyState | undefined {
    return this.#checkpoints.get(job)?.get(step);
  }

  /** Of the checkpoints up to that step only the newest `keep` stay. */
  discard(job: string, step: number, keep: number): void {
    const steps = this.#checkpoints.get(job) ?? new Map<number, ToyState>();
    const old = [...steps.keys()].filter((one) => one <= step).toSorted((a, b) => b - a);
    for (const one of old.slice(keep)) steps.delete(one);
  }

  #isMarked(job: string): boolean {
    return [...this.marks].some((mark) => mark.startsWith(`removed/${job}.`));
  }
}

function fileOf(job: string, step: number): string {
  return `jobs/${job}/checkpoints/${step}`;
}
