/** What the lines of a job's log say, against what must hold whatever was done to the fleet. */
import type { LogLine } from "../../src/client/client.js";
import type { FaultKind } from "./schedule.js";

export interface Commit {
  /** 1 for the first. */
  readonly step: number;
  readonly atMs: number;
}

/** The end of a worker's state, by our own hand. */
export interface Death {
  readonly worker: string;
  readonly atMs: number;
}

export function commitsOf(lines: readonly LogLine[]): readonly Commit[] {
  return lines.flatMap((line) =>
    isStep(line) ? [{ step: numberOf(line, "step"), atMs: line.timeMs }] : [],
  );
}

/** Sequence numbers 1, 2, 3 … without gap or repetition. */
export function numberingProblems(lines: readonly LogLine[]): readonly string[] {
  const wrong = lines.findIndex(({ sequence }, i) => sequence !== i + 1);
  if (wrong < 0) return [];
  return [`line ${wrong + 1} of the log has the number ${lines[wrong]?.sequence ?? 0}`];
}

/** Each step and each evaluation exactly once, in order, and with the numbers of the undisturbed job. */
export function storyProblems(
  lines: readonly LogLine[],
  undisturbed: readonly LogLine[],
): readonly string[] {
  const [told, wanted] = [storyOf(lines), storyOf(undisturbed)];
  const counts = new Map<string, number>();
  for (const { name } of told) counts.set(name, (counts.get(name) ?? 0) + 1);
  const problems = [...counts].flatMap(([name, count]) =>
    count > 1 ? [`${name} is logged ${count} times`] : [],
  );
  const values = new Map(told.map(({ name, value }) => [name, value]));
  for (const { name, value } of wanted) {
    const found = values.get(name);
    if (found === undefined) problems.push(`${name} is not logged`);
    else if (found !== value) problems.push(`${name} has ${found}, undisturbed ${value}`);
  }
  const known = new Set(wanted.map(({ name }) => name));
  for (const { name } of told) if (!known.has(name)) problems.push(`${name} should not be there`);
  if (problems.length === 0 && told.some(({ name }, i) => name !== wanted[i]?.name)) {
    problems.push("steps and evaluations are logged out of order");
  }
  return problems;
}

/** A worker cannot have joined again within this time of its death: the line tells of the life before. */
const restartMsMin = 1000;

/**
 * Whether the job went back to a checkpoint although a worker with its state lived. Members are taken from the log; that one
 * has died is known from who killed it.
 */
export function lostSteps(lines: readonly LogLine[], deaths: readonly Death[]): readonly string[] {
  const problems: string[] = [];
  const holders = new Set<string>();
  const diedAtMs = new Map<string, number>();
  let committed = 0;
  const waiting = deaths.toSorted((a, b) => a.atMs - b.atMs);
  for (const line of lines) {
    for (let death = waiting[0]; death && death.atMs <= line.timeMs; death = waiting[0]) {
      holders.delete(death.worker);
      diedAtMs.set(death.worker, death.atMs);
      waiting.shift();
    }
    const began = /^attempt (\d+) begins/.exec(line.message);
    if (began !== null) {
      const [survivor] = holders;
      const isBack = !(numberOf(line, "step") >= committed);
      if (survivor !== undefined && isBack) {
        problems.push(`${line.message}, although ${survivor} held the state and lived`);
      }
      holders.clear();
      for (const member of textOf(line, "members").split(", ")) holders.add(member);
    }
    if (isStep(line)) committed = Math.max(committed, numberOf(line, "step"));
    const worker = textOf(line, "worker");
    if (line.message.startsWith(`${worker} joined`)) {
      const recently = line.timeMs - (diedAtMs.get(worker) ?? -Infinity) < restartMsMin;
      if (!recently) holders.add(worker);
    }
    if (line.message.startsWith(`${worker} leaves`)) holders.delete(worker);
    // The last one is waited for, dead or alive: being out of reach takes nothing from it.
    if (line.message.startsWith(`${worker} is lost`) && holders.size > 1) holders.delete(worker);
  }
  return problems;
}

/** A fault with the time in which it may show. */
export interface Course {
  readonly kind: FaultKind;
  readonly startMs: number;
  readonly endMs: number | undefined;
}

const innocentWorkers: ReadonlySet<FaultKind> = new Set<FaultKind>([
  ...(["coordinator-kill", "coordinator-stop", "coordinator-nats-cut"] as const),
  ...(["nats-kill", "nats-stop"] as const),
]);
/** How long after its end a fault may still show. */
const aftermathMs = 8000;

/** Workers that were given up while the only fault was the coordinator's or NATS'. */
export function wronglyBlamed(
  lines: readonly LogLine[],
  faults: readonly Course[],
): readonly string[] {
  const until = ({ startMs, endMs = startMs }: Course): number => endMs + aftermathMs;
  const lost = lines.filter(({ message }) => / is lost: /.test(message));
  return lost.flatMap(({ message, timeMs }) => {
    const shown = faults.filter((fault) => fault.startMs <= timeMs && timeMs <= until(fault));
    const isWrong = shown.length > 0 && shown.every(({ kind }) => innocentWorkers.has(kind));
    return isWrong ? [`${message}, though nothing but ${shown[0]?.kind ?? ""} was done`] : [];
  });
}

interface Told {
  readonly name: string;
  readonly value: string;
}

const storyFields = ["loss", "rate", "epoch", "correct", "total"];

function storyOf(lines: readonly LogLine[]): readonly Told[] {
  return lines.flatMap((line) => {
    if (!isStep(line) && !isEvaluation(line)) return [];
    const step = numberOf(line, "step");
    const name = isStep(line) ? `step ${step}` : `the evaluation at step ${step}`;
    const values = storyFields.flatMap((key) =>
      line.fields[key] === undefined ? [] : [`${key} ${String(line.fields[key])}`],
    );
    return [{ name, value: values.join(", ") }];
  });
}

function isStep({ message, fields }: LogLine): boolean {
  return /^step \d+ of \d+$/.test(message) && fields["loss"] !== undefined;
}

function isEvaluation({ fields }: LogLine): boolean {
  return fields["loss"] !== undefined && fields["correct"] !== undefined;
}

function numberOf({ fields }: LogLine, key: string): number {
  const value = fields[key];
  return typeof value === "number" ? value : Number.NaN;
}

function textOf({ fields }: LogLine, key: string): string {
  const value = fields[key];
  return typeof value === "string" ? value : "";
}
