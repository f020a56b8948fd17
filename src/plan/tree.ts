import { assert } from "../job/problem.js";

/**
 * The binary summation tree over a step's shards. It fixes the order of every addition, so that
 * the sum has the same bits whoever adds which part. A node of more than one shard splits after
 * the largest power of two below its size: node sizes are powers of two except on the right edge.
 */

/** Shards `first` to `end` (exclusive). */
export interface Range {
  readonly first: number;
  readonly end: number;
}

/** A range that is a node of the tree: its sum is a value that workers may exchange. */
export type Node = Range;

/** The sum of all shards. */
export function root(shardCount: number): Node {
  assert(Number.isInteger(shardCount) && shardCount > 0, `${shardCount} shards`);
  return { first: 0, end: shardCount };
}

/** The two nodes whose sums make this node's, left first; undefined for a leaf. */
export function children({ first, end }: Node): readonly [Node, Node] | undefined {
  const size = end - first;
  if (size <= 1) return undefined;
  const split = first + largestPowerOfTwoBelow(size);
  return [
    { first, end: split },
    { first: split, end },
  ];
}

/** The node that this node is a child of; undefined for the root. */
export function parent(node: Node, shardCount: number): Node | undefined {
  return pathTo(node, shardCount).at(-2);
}

/** The other child of this node's parent; undefined for the root. */
export function sibling(node: Node, shardCount: number): Node | undefined {
  const above = parent(node, shardCount);
  const pair = above === undefined ? undefined : children(above);
  return pair?.find(({ first }) => first !== node.first);
}

/** Whether shards `first` to `end` are a node of the tree. */
export function isNode({ first, end }: Range, shardCount: number): boolean {
  let node: Node | undefined = root(shardCount);
  while (node !== undefined && !(node.first === first && node.end === end)) {
    node = children(node)?.find((child) => child.first <= first && end <= child.end);
  }
  return node !== undefined && first < end;
}

/** The largest whole nodes of the tree inside shards `first` to `end` (exclusive), left to right. */
export function nodes(first: number, end: number, shardCount: number): readonly Node[] {
  assert(
    0 <= first && first <= end && end <= shardCount,
    `shards ${first}-${end} of ${shardCount}`,
  );
  const found: Node[] = [];
  const visit = (node: Node): void => {
    if (end <= node.first || node.end <= first) return;
    if (first <= node.first && node.end <= end) found.push(node);
    else children(node)?.forEach(visit);
  };
  visit(root(shardCount));
  return found;
}

/** A name for the node, for maps and messages. */
export function nodeKey({ first, end }: Node): string {
  return `${first}-${end}`;
}

/** The nodes from the root down to `node`, both included. */
export function pathTo(node: Node, shardCount: number): readonly Node[] {
  const path: Node[] = [];
  let next: Node | undefined = root(shardCount);
  while (next !== undefined) {
    path.push(next);
    if (next.first === node.first && next.end === node.end) return path;
    next = children(next)?.find((child) => child.first <= node.first && node.end <= child.end);
  }
  assert(false, `shards ${nodeKey(node)} are no node of ${shardCount}`);
}

function largestPowerOfTwoBelow(size: number): number {
  return 2 ** (31 - Math.clz32(size - 1));
}
