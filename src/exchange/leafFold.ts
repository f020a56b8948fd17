import { assert } from "../job/problem.js";
import { children, nodeKey, parent, sibling, type Node } from "../plan/tree.js";
import { add } from "./add.js";
import type { Buffers } from "./bufferPool.js";

/**
 * Folds finished shards with their neighbours into the tree nodes that this rank was dealt, in
 * whichever order they come. A finished node is never written to again: it may be being sent.
 */
export class LeafFold {
  readonly #shardCount: number;
  readonly #buffers: Buffers;
  readonly #targets = new Map<string, Node>();
  readonly #finished = new Map<string, Float32Array>();
  readonly #inner = new Map<string, Float32Array>();
  readonly #seen = new Set<number>();

  constructor(shardCount: number, buffers: Buffers) {
    this.#shardCount = shardCount;
    this.#buffers = buffers;
  }

  /** Adds a node to make. No two may overlap. */
  make(node: Node): void {
    this.#targets.set(nodeKey(node), node);
  }

  /**
   * Takes over a shard's vector: it is written to, or released, or becomes a node. A shard that
   * came already changes nothing. Returns the node that it finishes, if it does.
   */
  add(
    shard: number,
    values: Float32Array,
  ): { readonly node: Node; readonly values: Float32Array } | undefined {
    const dealt = [...this.#targets.values()].some(
      ({ first, end }) => first <= shard && shard < end,
    );
    assert(dealt, `shard ${shard} was not dealt to this rank`);
    if (this.#seen.has(shard)) {
      this.#buffers.release(values);
      return undefined;
    }
    this.#seen.add(shard);
    return this.#put({ first: shard, end: shard + 1 }, values);
  }

  /** Releases every vector, nodes included. */
  close(): void {
    for (const values of [...this.#inner.values(), ...this.#finished.values()]) {
      this.#buffers.release(values);
    }
    this.#inner.clear();
    this.#finished.clear();
  }

  #put(
    node: Node,
    values: Float32Array,
  ): { readonly node: Node; readonly values: Float32Array } | undefined {
    if (this.#targets.has(nodeKey(node))) {
      this.#finished.set(nodeKey(node), values);
      return { node, values };
    }
    const above = parent(node, this.#shardCount);
    const other = sibling(node, this.#shardCount);
    assert(above !== undefined && other !== undefined, `${nodeKey(node)} is inside no node dealt`);
    const neighbour = this.#inner.get(nodeKey(other));
    if (neighbour === undefined) {
      this.#inner.set(nodeKey(node), values);
      return undefined;
    }
    this.#inner.delete(nodeKey(other));
    const isLeft = children(above)?.[0].first === node.first;
    const [left, right] = isLeft ? [values, neighbour] : [neighbour, values];
    add(left, left, right);
    this.#buffers.release(right);
    return this.#put(above, left);
  }
}
