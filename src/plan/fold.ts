import { children, nodeKey, pathTo, type Node } from "./tree.js";

/**
 * Adds up values of tree nodes as they come, in any order: whenever both children of a node are
 * held, they become that node. Which pairs are added is fixed by the tree, so the result does not
 * depend on the order of arrival. Does no arithmetic itself; `add` gets the left child first.
 */
export class TreeFold<Value> {
  readonly #shardCount: number;
  readonly #add: (left: Value, right: Value) => Value;
  readonly #held = new Map<string, { readonly node: Node; readonly value: Value }>();

  constructor(shardCount: number, add: (left: Value, right: Value) => Value) {
    this.#shardCount = shardCount;
    this.#add = add;
  }

  /** Takes the value of a node. One that lies inside a node already held changes nothing. */
  put(node: Node, value: Value): void {
    const path = pathTo(node, this.#shardCount);
    if (this.#holdsOneOf(path)) return;
    const above = path.at(-2);
    const pair = above === undefined ? undefined : children(above);
    const other = pair?.find(({ first }) => first !== node.first);
    const held = other === undefined ? undefined : this.#held.get(nodeKey(other));
    if (held === undefined || above === undefined) {
      this.#dropInside(node);
      this.#held.set(nodeKey(node), { node, value });
      return;
    }
    this.#held.delete(nodeKey(held.node));
    const [left, right] = held.node.first < node.first ? [held.value, value] : [value, held.value];
    this.put(above, this.#add(left, right));
  }

  /** Whether a held node contains all of `node`. */
  covers(node: Node): boolean {
    return this.#holdsOneOf(pathTo(node, this.#shardCount));
  }

  /** The sum of all shards, once there are enough nodes for it. */
  get total(): Value | undefined {
    return this.#held.get(nodeKey({ first: 0, end: this.#shardCount }))?.value;
  }

  /** The nodes held now, left to right; no two overlap, none are siblings. */
  get held(): readonly { readonly node: Node; readonly value: Value }[] {
    return [...this.#held.values()].sort((a, b) => a.node.first - b.node.first);
  }

  #holdsOneOf(path: readonly Node[]): boolean {
    return path.some((node) => this.#held.has(nodeKey(node)));
  }

  #dropInside({ first, end }: Node): void {
    for (const { node } of this.held) {
      if (first <= node.first && node.end <= end) this.#held.delete(nodeKey(node));
    }
  }
}
