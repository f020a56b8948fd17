import { assert } from "../job/problem.js";

/**
 * A flat vector is kept account of in units, the same on every rank of a job: segments begin and
 * end on units, and requests and answers are runs of whole units (the last one may be short).
 * Chunks, what one message carries, are as many units as a rank's server lets through, and need
 * not be the same everywhere.
 */
export interface Grid {
  /** Length of the vector. */
  readonly elements: number;
  readonly unitElements: number;
}

/** 4 kB: below any `max_payload` that a NATS server is run with. */
export const unitElementsDefault = 1024;

/** Units `first` to `end` (exclusive). */
export interface Units {
  readonly first: number;
  readonly end: number;
}

export function unitCount({ elements, unitElements }: Grid): number {
  return Math.ceil(elements / unitElements);
}

/** The first element of a unit; of the unit after the last, the number of elements. */
export function offsetOf({ elements, unitElements }: Grid, unit: number): number {
  return Math.min(unit * unitElements, elements);
}

/** The units that the elements are, or undefined if they are not a run of whole units. */
export function unitsOf(grid: Grid, offset: number, length: number): Units | undefined {
  const end = offset + length;
  const whole = (element: number): boolean =>
    element % grid.unitElements === 0 || element === grid.elements;
  if (offset < 0 || length <= 0 || end > grid.elements || !whole(offset) || !whole(end)) {
    return undefined;
  }
  return { first: offset / grid.unitElements, end: Math.ceil(end / grid.unitElements) };
}

/** What rank `rank` of `worldSize` owns: as equal as whole units allow, in rank order. */
export function segment(grid: Grid, rank: number, worldSize: number): Units {
  assert(rank >= 0 && rank < worldSize, `rank ${rank} of ${worldSize}`);
  const units = unitCount(grid);
  return {
    first: Math.floor((units * rank) / worldSize),
    end: Math.floor((units * (rank + 1)) / worldSize),
  };
}
