/** What the faults cost, from when they came and when steps were committed. */
import type { Commit } from "./ledger.js";
import type { FaultKind } from "./schedule.js";

/** A fault that was done, by the clock of the machine. */
export interface Done {
  readonly kind: FaultKind;
  readonly worker: number;
  readonly hit: boolean;
  readonly startMs: number;
  /** When what it took away was back; undefined: not before the end. */
  readonly endMs: number | undefined;
}

export interface Cost {
  readonly kind: FaultKind;
  readonly count: number;
  /** Faults that came when their victim was not there. */
  readonly missed: number;
  /** From the fault to the next commit, and from its end. */
  readonly nextMs: Spread;
  readonly afterMs: Spread;
  /** The longest time between two commits that a fault of the kind fell into, or that began within its course. */
  readonly pauseMs: number;
}

export interface Spread {
  readonly median: number;
  readonly p95: number;
  readonly worst: number;
}

export function costs(faults: readonly Done[], commits: readonly Commit[]): readonly Cost[] {
  const times = commits.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  return [...new Set(faults.map(({ kind }) => kind))].map((kind) => {
    const own = faults.filter((fault) => fault.kind === kind);
    const hits = own.filter(({ hit }) => hit);
    const next = hits.flatMap(({ startMs }) => timeToCommit(times, startMs) ?? []);
    const after = hits.flatMap(({ endMs }) =>
      endMs === undefined ? [] : (timeToCommit(times, endMs) ?? []),
    );
    const pauses = hits.flatMap((fault) => pause(times, fault) ?? []);
    return {
      kind,
      count: hits.length,
      missed: own.length - hits.length,
      nextMs: spread(next),
      afterMs: spread(after),
      pauseMs: Math.max(0, ...pauses),
    };
  });
}

/** The pauses after faults that came alone, and after those beside whose course another's ran. */
export interface Pauses {
  readonly single: Pause;
  readonly overlapping: Pause;
}

export interface Pause {
  /** Faults that were done and had a commit after them. */
  readonly count: number;
  /** Of the longest time without a commit of each; undefined: there is none. */
  readonly medianMs: number | undefined;
}

/** A fault's course is from its start to the end of its aftermath; faults that hit nothing have none. */
export function pausesOf(faults: readonly Done[], commits: readonly Commit[]): Pauses {
  const times = commits.map(({ atMs }) => atMs).toSorted((a, b) => a - b);
  const hits = faults.filter(({ hit }) => hit);
  const isMet = (fault: Done): boolean =>
    hits.some((other) => other !== fault && overlap(fault, other));
  return {
    single: pauseOf(
      times,
      hits.filter((fault) => !isMet(fault)),
    ),
    overlapping: pauseOf(times, hits.filter(isMet)),
  };
}

function pauseOf(times: readonly number[], faults: readonly Done[]): Pause {
  const pauses = faults.flatMap((fault) => pause(times, fault) ?? []);
  const medianMs = pauses.length === 0 ? undefined : spread(pauses).median;
  return { count: pauses.length, medianMs };
}

function overlap(a: Done, b: Done): boolean {
  return a.startMs <= overMs(b) && b.startMs <= overMs(a);
}

function overMs({ endMs = Infinity }: Done): number {
  return endMs + aftermathMs;
}

/** Undefined where no commit came. `times` in order. */
export function timeToCommit(times: readonly number[], fromMs: number): number | undefined {
  const next = times.find((atMs) => atMs > fromMs);
  return next === undefined ? undefined : next - fromMs;
}

/** Examples committed per second from the first commit in the window to the last. */
export function examplesPerSecond(
  commits: readonly Commit[],
  batch: number,
  window: { readonly fromMs: number; readonly toMs: number },
): number {
  const inside = commits.filter(({ atMs }) => atMs >= window.fromMs && atMs <= window.toMs);
  return (1000 * batch * inside.length) / (window.toMs - window.fromMs);
}

/** A joiner is dealt in some seconds after its start, and that may cost a pause too. */
const aftermathMs = 8000;

/** Undefined where no two commits have the fault or its course between them. */
function pause(times: readonly number[], { startMs, endMs }: Done): number | undefined {
  let longest: number | undefined;
  for (const [i, atMs] of times.entries()) {
    const before = times[i - 1];
    if (before === undefined || atMs < startMs) continue;
    if (before > (endMs ?? startMs) + aftermathMs) continue;
    longest = Math.max(longest ?? 0, atMs - before);
  }
  return longest;
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
  return { median: at(0.5), p95: at(0.95), worst: at(1) };
}
