import { plural } from "../job/plural.js";
import type { RoundKind, ShardResult } from "./message.js";
import { heaviest, type Voter } from "./voting.js";

/**
 * Determinism as an oracle: what several workers got for one and the same thing must be the same,
 * and where it is not, whoever is alone with it is wrong. Nothing here knows of rounds or of time.
 */

/**
 * Why nobody can have got this for a shard of the round, in words that follow "it reported shard 3
 * of step 7"; undefined where somebody can. `sizes`: the examples of each shard of the round. Who
 * says what cannot be is wrong, whatever the others say.
 */
export function impossible(
  { shard, count, correct, finite, loss }: ShardResult,
  round: RoundKind,
  sizes: readonly number[],
): string | undefined {
  const size = sizes[shard];
  if (size === undefined) return `, which has ${plural(sizes.length, "shard")}`;
  if (count !== size) return ` with ${plural(count, "example")}, and it has ${size}`;
  const most = round === "training" ? 0 : size;
  if (correct > most) return ` with ${correct} right of ${most}`;
  return finite && !Number.isFinite(loss) ? ` with a loss of ${loss}` : undefined;
}

/** What a worker got for a shard, in the computation for the sum or in a check. */
export interface Opinion {
  readonly workerId: string;
  /** Of the process that computed it: another may have its worker's name by the time it is judged. */
  readonly incarnation: string;
  readonly result: ShardResult;
}

export type Verdict =
  /** All are the same, and numbers. */
  | { readonly kind: "agreed" }
  /** Computed twice, and not finite either time: it lies in the job. */
  | { readonly kind: "not-finite"; readonly workers: readonly string[] }
  /** These got something else than the others, or than themselves before. */
  | {
      readonly kind: "wrong";
      readonly workers: readonly string[];
      readonly right: Opinion | undefined;
    }
  /** One more opinion is needed. */
  | { readonly kind: "open" };

interface Group {
  readonly sample: Opinion;
  readonly opinions: readonly Opinion[];
  /** Those of its workers that are members. */
  readonly voters: readonly Voter[];
}

/** Judges what is known of a shard. Workers that are no members any more do not count, but may be wrong. */
export function judgeShard(opinions: readonly Opinion[], voters: readonly Voter[]): Verdict {
  if (isPlain(opinions)) return { kind: "agreed" };
  const groups = grouped(opinions, voters);
  const [first, second] = groups;
  if (first === undefined) return { kind: "open" };
  const members = voters.map(({ workerId }) => workerId);
  const own = first.opinions.filter(({ workerId }) => members.includes(workerId));
  const isSure =
    own.length > 1 && (first.voters.length > 1 || members.length === 1 || groups.length > 1);
  if (second === undefined) {
    if (first.sample.result.finite) return { kind: "agreed" };
    return isSure ? { kind: "not-finite", workers: workersOf([first]) } : { kind: "open" };
  }
  const unsteady = members.filter(
    (id) => groups.filter((group) => workersOf([group]).includes(id)).length > 1,
  );
  if (unsteady.length > 0) return { kind: "wrong", workers: unsteady, right: undefined };
  const isFiniteOne = first.sample.result.finite && !second.sample.result.finite;
  const isLarger = heaviest(groups) === first;
  if (!isFiniteOne && !(isLarger && isSure)) return { kind: "open" };
  if (!first.sample.result.finite) return { kind: "not-finite", workers: workersOf([first]) };
  return { kind: "wrong", workers: workersOf(groups.slice(1)), right: first.sample };
}

/** One number, or twice the same: by far the most, and nothing to weigh. */
function isPlain([one, other = one, more]: readonly Opinion[]): boolean {
  if (one === undefined || other === undefined || more !== undefined) return false;
  return one.result.finite && isSame(one.result, other.result);
}

/** Equal values together: those that outweigh all others first, else those of most members, and finite ones before others. */
function grouped(opinions: readonly Opinion[], voters: readonly Voter[]): readonly Group[] {
  const groups: Group[] = [];
  for (const opinion of opinions) {
    const at = groups.findIndex(({ sample }) => isSame(sample.result, opinion.result));
    const known = groups[at];
    const all = [...(known?.opinions ?? []), opinion];
    const own = voters.filter((voter) => all.some(({ workerId }) => workerId === voter.workerId));
    // The one that has the checksum of its gradient tells more apart.
    const sample =
      known === undefined || known.sample.result.gradientChecksum === 0 ? opinion : known.sample;
    const group = { sample, opinions: all, voters: own };
    if (at < 0) groups.push(group);
    else groups[at] = group;
  }
  const heavy = heaviest(groups);
  return groups.toSorted(
    (a, b) =>
      Number(b === heavy) - Number(a === heavy) ||
      b.voters.length - a.voters.length ||
      Number(b.sample.result.finite) - Number(a.sample.result.finite),
  );
}

function workersOf(groups: readonly Group[]): readonly string[] {
  return [...new Set(groups.flatMap(({ opinions }) => opinions.map(({ workerId }) => workerId)))];
}

/**
 * Bit for bit: losses that are equal as numbers but for the sign of a zero are not the same. What
 * is not finite has no value to compare.
 */
export function isSame(a: ShardResult, b: ShardResult): boolean {
  if (!a.finite || !b.finite) return a.finite === b.finite;
  return (
    Object.is(a.loss, b.loss) &&
    a.count === b.count &&
    a.correct === b.correct &&
    a.inputChecksum === b.inputChecksum &&
    (a.gradientChecksum === b.gradientChecksum ||
      a.gradientChecksum === 0 ||
      b.gradientChecksum === 0)
  );
}

/** Which of two values that should be the same are not, for people. */
export function difference(wrong: ShardResult, right: ShardResult): string {
  if (!wrong.finite) return "it is not finite";
  if (wrong.inputChecksum !== right.inputChecksum) return "it read other pictures";
  if (!Object.is(wrong.loss, right.loss)) return `its loss is ${wrong.loss}, not ${right.loss}`;
  return wrong.correct === right.correct
    ? "its gradient is another"
    : "it counts other pictures right";
}

export type Agreement =
  | { readonly kind: "agreed" }
  /** They differ, and not all have said. */
  | { readonly kind: "waiting" }
  /** These are alone with what they say, or have said two things. */
  | {
      readonly kind: "odd";
      readonly workers: readonly string[];
      readonly value: number | undefined;
    }
  /** They differ, and no one is of the majority. */
  | { readonly kind: "tie" };

/** Judges numbers that must be the same on all; a worker may have said more than one. */
export function judgeNumbers(
  stated: ReadonlyMap<string, readonly number[]>,
  voters: readonly Voter[],
): Agreement {
  const said = voters.map((voter) => ({
    ...{ voter, id: voter.workerId, values: new Set(stated.get(voter.workerId)) },
  }));
  const unsteady = said.filter(({ values }) => values.size > 1).map(({ id }) => id);
  if (unsteady.length > 0) return { kind: "odd", workers: unsteady, value: undefined };
  const sides = new Map<number, { readonly value: number; readonly voters: Voter[] }>();
  for (const { voter, values } of said) {
    for (const value of values) {
      const side = sides.get(value) ?? { value, voters: [] };
      side.voters.push(voter);
      sides.set(value, side);
    }
  }
  if (sides.size < 2) return { kind: "agreed" };
  if (said.some(({ values }) => values.size === 0)) return { kind: "waiting" };
  const heavy = heaviest([...sides.values()]);
  if (heavy === undefined) return { kind: "tie" };
  const { value } = heavy;
  const workers = said.filter(({ values }) => !values.has(value)).map(({ id }) => id);
  return { kind: "odd", workers, value };
}
