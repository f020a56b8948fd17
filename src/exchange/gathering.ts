import { assert } from "../job/problem.js";
import { bytesOf } from "./content.js";
import { offsetOf, unitCount, type Grid, type Units } from "./units.js";

const missing = 0;
const asked = 1;
const held = 2;
const needless = 3;

/**
 * The units of one content that a rank has, from `first` to `end`, and which of the others it has
 * asked for. A unit once held keeps its bits.
 */
export class Gathering {
  readonly grid: Grid;
  readonly units: Units;
  /** The elements of `units`. */
  readonly values: Float32Array;
  readonly #bytes: Uint8Array;
  readonly #origin: number;
  readonly #states: Uint8Array;
  #heldCount = 0;

  /** `values` holds the elements of `units` and is written to as they come. */
  constructor(grid: Grid, units: Units, values: Float32Array) {
    this.grid = grid;
    this.units = units;
    this.values = values;
    this.#bytes = bytesOf(values);
    this.#origin = offsetOf(grid, units.first);
    assert(
      values.length === offsetOf(grid, units.end) - this.#origin,
      `${values.length} elements for units ${units.first}-${units.end}`,
    );
    this.#states = new Uint8Array(units.end - units.first);
  }

  /** All of a content whose values are there already. */
  static whole(grid: Grid, values: Float32Array): Gathering {
    const gathering = new Gathering(grid, { first: 0, end: unitCount(grid) }, values);
    gathering.#states.fill(held);
    gathering.#heldCount = gathering.#states.length;
    return gathering;
  }

  get complete(): boolean {
    return this.#heldCount === this.#states.length;
  }

  covers({ first, end }: Units): boolean {
    return this.units.first <= first && end <= this.units.end;
  }

  isMissing(unit: number): boolean {
    return this.#state(unit) === missing;
  }

  isAsked(unit: number): boolean {
    return this.#state(unit) === asked;
  }

  isHeld(unit: number): boolean {
    return this.#state(unit) === held;
  }

  holds({ first, end }: Units): boolean {
    if (this.complete) return this.covers({ first, end });
    for (let unit = first; unit < end; unit += 1) if (!this.isHeld(unit)) return false;
    return true;
  }

  ask({ first, end }: Units): void {
    this.#states.fill(asked, first - this.units.first, end - this.units.first);
  }

  /** Takes the question back: what is still asked for is missing again. */
  forget({ first, end }: Units): void {
    for (let unit = first; unit < end; unit += 1) {
      if (this.isAsked(unit)) this.#states[unit - this.units.first] = missing;
    }
  }

  /** Says that a missing unit will never be read, so that nobody asks for it. */
  skip(unit: number): void {
    if (this.isMissing(unit)) this.#states[unit - this.units.first] = needless;
  }

  /** The elements of some of the units, to read, or to write before they are held. */
  view({ first, end }: Units): Float32Array {
    return this.values.subarray(
      offsetOf(this.grid, first) - this.#origin,
      offsetOf(this.grid, end) - this.#origin,
    );
  }

  /** The same memory as bytes. */
  viewBytes({ first, end }: Units): Uint8Array {
    return this.#bytes.subarray(
      4 * (offsetOf(this.grid, first) - this.#origin),
      4 * (offsetOf(this.grid, end) - this.#origin),
    );
  }

  /** Says that the elements of these units have been written and will not change. */
  hold({ first, end }: Units): void {
    for (let unit = first; unit < end; unit += 1) {
      if (!this.isHeld(unit)) this.#heldCount += 1;
      this.#states[unit - this.units.first] = held;
    }
  }

  /** Copies what another gathering of the same content holds of units not held here. */
  copyFrom(other: Gathering): void {
    const first = Math.max(this.units.first, other.units.first);
    const end = Math.min(this.units.end, other.units.end);
    for (let unit = first; unit < end; unit += 1) {
      const one = { first: unit, end: unit + 1 };
      if (this.isHeld(unit) || !other.isHeld(unit)) continue;
      this.viewBytes(one).set(other.viewBytes(one));
      this.hold(one);
    }
  }

  #state(unit: number): number | undefined {
    return this.#states[unit - this.units.first];
  }
}
