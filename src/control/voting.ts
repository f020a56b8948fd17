/**
 * Who counts as one where workers contradict each other. One token may stand for any number of names, and one machine too: a
 * majority of names would be whoever has most of them. So those of more tokens are believed; among names of the very same tokens
 * those of more addresses; and among those of the very same addresses the more names. Where neither side has more, nobody is.
 */
export interface Voter {
  readonly workerId: string;
  /** Name of the token that it came with; empty where none is asked for. */
  readonly token: string;
  /** Of the other end of its stream. */
  readonly address: string;
}

/** Above 0: the first are more; below: the second; 0: nobody can say. */
export function weigh(first: readonly Voter[], second: readonly Voter[]): number {
  for (const key of ["token", "address", "workerId"] as const) {
    const one = new Set(first.map((voter) => voter[key]));
    const other = new Set(second.map((voter) => voter[key]));
    if (one.size !== other.size) return one.size - other.size;
    if ([...one].some((value) => !other.has(value))) return 0;
  }
  return 0;
}

/** Those that outweigh each of the others; undefined where none do. */
export function heaviest<Side extends { readonly voters: readonly Voter[] }>(
  sides: readonly Side[],
): Side | undefined {
  return sides.find((side) =>
    sides.every((other) => other === side || weigh(side.voters, other.voters) > 0),
  );
}
