import { parseArgs } from "node:util";
import { faultKinds, type FaultKind } from "./schedule.js";

export interface ChaosOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly workers: number;
  readonly kinds: readonly FaultKind[];
  /** How many train the undisturbed job to compare with. */
  readonly referenceWorkers: number;
  /** Mean time between faults. */
  readonly everySeconds: number;
  /** The most faults; with one kind of fault that is how many there are. */
  readonly kills: number;
  readonly longestSeconds: number;
  /** What every shard takes longer in the two runs that are timed: work, as on a GPU, that needs no CPU. */
  readonly slowSeconds: number;
  /** 0: chaos; else so many jobs, one after the other, and a look at what they leave. */
  readonly jobs: number;
  readonly jsonFile: string | undefined;
  /** Where the logs of all processes go; undefined: nowhere. */
  readonly logFolder: string | undefined;
}

export const usage = `npm run chaos -- [--minutes M] [--seed S] [--every SECONDS] [--workers N] [--reference N]
    [--only KIND,KIND] [--without KIND,KIND] [--kills N] [--longest SECONDS]
    [--slow SECONDS]
    [--json FILE] [--logs FOLDER]        faults done to a job, its result compared with an undisturbed one
npm run chaos -- --jobs N [--json FILE]  so many jobs, and what they leave behind
kinds: ${faultKinds.join(", ")}`;

/** Throws an Error that names the option. With `--kills`, the time follows from their number unless it is given. */
export function readOptions(args: readonly string[]): ChaosOptions {
  const text = { type: "string" } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...{
        minutes: text,
        seed: text,
        every: text,
        workers: text,
        kills: text,
        longest: text,
        slow: text,
      },
      ...{ reference: text, only: text, without: text, jobs: text, json: text, logs: text },
    },
  });
  const everySeconds = number("every", values.every ?? "6", 0.5, 3600);
  const kills = whole("kills", values.kills ?? "1000000", 1, 1_000_000);
  const minutes =
    values.minutes ?? (values.kills === undefined ? "2" : `${(kills * everySeconds) / 60}`);
  const left = new Set(kindsOf("without", values.without ?? ""));
  const only = values.only === undefined ? faultKinds : kindsOf("only", values.only);
  return {
    minutes: number("minutes", minutes, 0.1, 24 * 60),
    seed: whole("seed", values.seed ?? "1", 0, 2 ** 32 - 1),
    workers: whole("workers", values.workers ?? "3", 1, 20),
    referenceWorkers: whole("reference", values.reference ?? "1", 1, 20),
    kinds: only.filter((kind) => !left.has(kind)),
    everySeconds,
    kills,
    longestSeconds: number("longest", values.longest ?? "15", 0.1, 600),
    slowSeconds: number("slow", values.slow ?? "0", 0, 60),
    jobs: whole("jobs", values.jobs ?? "0", 0, 10_000),
    jsonFile: values.json,
    logFolder: values.logs,
  };
}

function number(name: string, value: string, min: number, max: number): number {
  const read = Number(value);
  if (value.trim() !== "" && read >= min && read <= max) return read;
  throw new Error(`--${name} is "${value}", but must be a number from ${min} to ${max}`);
}

function whole(name: string, value: string, min: number, max: number): number {
  const read = number(name, value, min, max);
  if (Number.isInteger(read)) return read;
  throw new Error(`--${name} is "${value}", but must be a whole number from ${min} to ${max}`);
}

function kindsOf(option: string, value: string): readonly FaultKind[] {
  const names = value.split(",").filter((name) => name !== "");
  return names.map((name) => {
    const kind = faultKinds.find((known) => known === name);
    if (kind === undefined) throw new Error(`--${option} names ${name}, which is no kind of fault`);
    return kind;
  });
}
