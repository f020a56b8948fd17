import { children, root, type Node } from "../plan/tree.js";
import { assert } from "../job/problem.js";
import { add } from "./add.js";
import { nodeContentKey } from "./content.js";
import type { Gathering } from "./gathering.js";
import type { Units } from "./units.js";

/** Elements added at a time: two operands and the result stay in a core's cache. */
const blockElements = 16_384;

/**
 * Adds up one segment of the vector from the sums of tree nodes, in the order that the tree fixes,
 * unit by unit as they come, whoever sends which part.
 */
export class SegmentSum {
  readonly #cover: readonly Node[];
  readonly #keys: readonly string[];
  readonly #root: Node;
  readonly #segment: Units;
  readonly #parts: ReadonlyMap<string, Gathering>;
  readonly #sum: Gathering;
  readonly #queued: Uint8Array;
  readonly #queue: Units[] = [];
  readonly #scratch: Float32Array[] = [];

  /**
   * `cover`: nodes that together are all shards, each once. `parts`: by content key, what there is
   * of them; may be added to, followed by a call of `came`. Writes to `sum` in `segment`.
   */
  constructor(
    cover: readonly Node[],
    shardCount: number,
    segment: Units,
    parts: ReadonlyMap<string, Gathering>,
    sum: Gathering,
  ) {
    this.#cover = cover;
    this.#keys = cover.map(nodeContentKey);
    this.#root = root(shardCount);
    this.#segment = segment;
    this.#parts = parts;
    this.#sum = sum;
    this.#queued = new Uint8Array(segment.end - segment.first);
    this.came(segment);
  }

  /** Says that these units of some node are there. */
  came(units: Units): void {
    const end = Math.min(units.end, this.#segment.end);
    let first = Math.max(units.first, this.#segment.first);
    for (let unit = first; unit < end; unit += 1) {
      if (this.#canAdd(unit)) {
        this.#queued[unit - this.#segment.first] = 1;
        continue;
      }
      if (unit > first) this.#queue.push({ first, end: unit });
      first = unit + 1;
    }
    if (end > first) this.#queue.push({ first, end });
  }

  /** Adds up to `unitsMax` units, and returns which: they are held in the sum now. */
  next(unitsMax: number): Units | undefined {
    const run = this.#queue.shift();
    if (run === undefined) return undefined;
    const done = { first: run.first, end: Math.min(run.end, run.first + unitsMax) };
    if (done.end < run.end) this.#queue.unshift({ first: done.end, end: run.end });
    const step = Math.max(1, Math.floor(blockElements / this.#sum.grid.unitElements));
    for (let { first } = done; first < done.end; first += step) {
      const block = { first, end: Math.min(done.end, first + step) };
      const out = this.#sum.view(block);
      const value = this.#evaluate(this.#root, block, out, 0);
      if (value !== out) out.set(value);
    }
    this.#sum.hold(done);
    return done;
  }

  #canAdd(unit: number): boolean {
    return (
      this.#queued[unit - this.#segment.first] === 0 &&
      !this.#sum.isHeld(unit) &&
      this.#keys.every((key) => this.#parts.get(key)?.isHeld(unit) === true)
    );
  }

  /** The node's sum: a view of a part, or `out` with the sum of its children written to it. */
  #evaluate(node: Node, block: Units, out: Float32Array, depth: number): Float32Array {
    const part = this.#isInCover(node) ? this.#parts.get(nodeContentKey(node)) : undefined;
    if (part !== undefined) return part.view(block);
    const pair = children(node);
    assert(pair !== undefined, `shard ${node.first} is in no node of the cover`);
    const left = this.#evaluate(pair[0], block, out, depth);
    const right = this.#evaluate(pair[1], block, this.#scratchAt(depth, out.length), depth + 1);
    add(out, left, right);
    return out;
  }

  #isInCover({ first, end }: Node): boolean {
    return this.#cover.some((node) => node.first === first && node.end === end);
  }

  #scratchAt(depth: number, elements: number): Float32Array {
    const kept = this.#scratch[depth];
    const scratch =
      kept !== undefined && kept.length >= elements ? kept : new Float32Array(elements);
    this.#scratch[depth] = scratch;
    return scratch.subarray(0, elements);
  }
}
