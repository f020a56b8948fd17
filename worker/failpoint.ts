import { ConfigError } from "../src/job/problem.js";

/**
 * Faults on purpose, for tests: BITFLEET_FAILPOINTS of a worker holds a list such as
 * `nan-shard@7, slow=3@2*, wrong-shard@4#1`. This part reads the list and says what fires where;
 * `faults.ts` carries it out.
 */

export const failpointNames = [
  /** A gradient with a value that is no number. */
  "nan-shard",
  /** A gradient with one wrong value; its loss is right. */
  "wrong-shard",
  /** One picture too many or too few that an evaluation of the state of the step counts right. */
  "wrong-count",
  /** One bit of a parameter flips on the device after the update of the step. */
  "flip-parameter",
  /** What TensorFlow throws when memory runs out: in the probe, or in a shard of the step. */
  "out-of-memory",
  /** The thread with TensorFlow never comes back. */
  "hang",
  /** A shard takes so many seconds more. */
  "slow",
  /** The process ends before it has said a word. */
  "exit-before-ready",
  /** The process ends while it computes. */
  "exit",
] as const;
export type FailpointName = (typeof failpointNames)[number];

export interface Failpoint {
  readonly name: FailpointName;
  /** Undefined: while the job is prepared. */
  readonly step: number | undefined;
  /** Undefined: whichever comes first. */
  readonly shard: number | undefined;
  /** Every time from that step on, in every process of the worker; else once, in its first one. */
  readonly always: boolean;
  /** `slow` only. */
  readonly seconds: number;
}

/** These happen while a job is prepared, and have no step; `out-of-memory` may have one. */
const preparing: readonly FailpointName[] = ["exit-before-ready", "out-of-memory"];

/** Reads the list; empty without one. Throws a ConfigError that names the entry. */
export function parseFailpoints(text: string | undefined): readonly Failpoint[] {
  const entries = (text ?? "").split(",").map((entry) => entry.trim());
  return entries.filter((entry) => entry !== "").map(parse);
}

/** What is left of the list for a worker's later processes. */
export function lastingFailpoints(text: string): string {
  const entries = text.split(",").filter((entry) => entry.trim().endsWith("*"));
  return entries.join(",");
}

function parse(entry: string): Failpoint {
  const [, word = "", seconds, step, shard, star] =
    /^([a-z-]+)(?:=(\d+(?:\.\d+)?))?(?:@(\d+)(?:#(\d+))?)?(\*)?$/.exec(entry) ?? [];
  const name = failpointNames.find((known) => known === word);
  if (name === undefined) {
    throw new ConfigError(
      `BITFLEET_FAILPOINTS has "${entry}", but knows ${failpointNames.join(", ")}, each as NAME@STEP, NAME@STEP#SHARD or with * behind it`,
    );
  }
  if (
    (step === undefined && !preparing.includes(name)) ||
    (name === "slow") !== (seconds !== undefined)
  ) {
    const right = name === "slow" ? "slow=SECONDS@STEP" : `${name}@STEP`;
    throw new ConfigError(`BITFLEET_FAILPOINTS has "${entry}", but must say ${right}`);
  }
  return {
    name,
    step: step === undefined ? undefined : Number(step),
    shard: shard === undefined ? undefined : Number(shard),
    always: star !== undefined,
    seconds: Number(seconds ?? 0),
  };
}

/** The failpoints of one process; remembers which have fired. */
export class Failpoints {
  #waiting: readonly Failpoint[];

  constructor(failpoints: readonly Failpoint[]) {
    this.#waiting = failpoints;
  }

  /** The failpoint that fires here, if one does. */
  take(
    name: FailpointName,
    place: { readonly step?: number; readonly shard?: number } = {},
  ): Failpoint | undefined {
    const found = this.#waiting.find(
      (failpoint) => failpoint.name === name && fits(failpoint, place),
    );
    if (found !== undefined && !found.always) {
      this.#waiting = this.#waiting.filter((failpoint) => failpoint !== found);
    }
    return found;
  }
}

function fits(
  { step, shard, always }: Failpoint,
  place: { readonly step?: number; readonly shard?: number },
): boolean {
  if (shard !== undefined && shard !== place.shard) return false;
  if (step === undefined || place.step === undefined) return step === place.step;
  return always ? place.step >= step : place.step === step;
}
