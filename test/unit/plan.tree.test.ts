import { describe, expect, test } from "vitest";
import { TreeFold } from "../../src/plan/fold.js";
import { Random } from "../../src/plan/random.js";
import {
  children,
  isNode,
  nodeKey,
  nodes,
  parent,
  root,
  sibling,
  type Node,
} from "../../src/plan/tree.js";

const shardCounts = [1, 2, 3, 4, 5, 7, 8, 11, 16, 31, 32, 33, 100];
const seeds = Array.from({ length: 20 }, (_, seed) => seed);

function everyNode(shardCount: number): readonly Node[] {
  const below = (node: Node): Node[] => [node, ...(children(node) ?? []).flatMap(below)];
  return below(root(shardCount));
}

test("the tree over 7 shards is the one that is written down", () => {
  expect(everyNode(7).map(nodeKey)).toEqual(
    "0-7 0-4 0-2 0-1 1-2 2-4 2-3 3-4 4-7 4-6 4-5 5-6 6-7".split(" "),
  );
});

test("the parts of 11, 11 and 10 of 32 shards are the nodes that are written down", () => {
  const parts = [nodes(0, 11, 32), nodes(11, 22, 32), nodes(22, 32, 32)];
  expect(parts.map((part) => part.map(nodeKey).join(" "))).toEqual([
    "0-8 8-10 10-11",
    "11-12 12-16 16-20 20-22",
    "22-24 24-32",
  ]);
});

describe.each(shardCounts)("the tree over %i shards", (shardCount) => {
  const all = everyNode(shardCount);

  test("has a node less than twice as many as shards, powers of two except on the right edge", () => {
    expect(all).toHaveLength(2 * shardCount - 1);
    for (const { first, end } of all) {
      const size = end - first;
      const isPower = Number.isInteger(Math.log2(size));
      expect(isPower || end === shardCount).toBe(true);
      if (isPower) expect(first % size).toBe(0); // aligned
    }
  });

  test("knows its nodes, and nothing else, and their parents and siblings", () => {
    const keys = new Set(all.map(nodeKey));
    for (let first = 0; first <= shardCount; first += 1) {
      for (let end = first; end <= shardCount; end += 1) {
        expect(isNode({ first, end }, shardCount)).toBe(keys.has(nodeKey({ first, end })));
      }
    }
    expect(parent(root(shardCount), shardCount)).toBeUndefined();
    expect(sibling(root(shardCount), shardCount)).toBeUndefined();
    for (const node of all) {
      const pair = children(node);
      if (pair === undefined) continue;
      const [left, right] = pair;
      expect(parent(left, shardCount)).toEqual(node);
      expect(parent(right, shardCount)).toEqual(node);
      expect(sibling(left, shardCount)).toEqual(right);
      expect(sibling(right, shardCount)).toEqual(left);
    }
  });

  test("decomposes every range into the fewest nodes that partition it", () => {
    for (let first = 0; first <= shardCount; first += 1) {
      for (let end = first; end <= shardCount; end += 1) {
        const parts = nodes(first, end, shardCount);
        let at = first;
        for (const part of parts) {
          expect(part.first).toBe(at);
          expect(isNode(part, shardCount)).toBe(true);
          at = part.end;
        }
        expect(at).toBe(end);
        const keys = new Set(parts.map(nodeKey));
        for (const part of parts) {
          const other = sibling(part, shardCount);
          expect(other !== undefined && keys.has(nodeKey(other))).toBe(false);
        }
      }
    }
  });
});

test("a range outside the shards is a broken invariant", () => {
  expect(() => nodes(0, 5, 4)).toThrow("shards 0-5 of 4");
  expect(() => nodes(3, 2, 4)).toThrow("shards 3-2 of 4");
  expect(() => parent({ first: 1, end: 3 }, 4)).toThrow("shards 1-3 are no node of 4");
  expect(() => root(0)).toThrow("0 shards");
});

/** Folds the shards of a range, one after the other, as a worker does. */
function foldRange(
  first: number,
  end: number,
  shardCount: number,
  leaves: readonly number[],
): TreeFold<number>["held"] {
  const fold = new TreeFold<number>(shardCount, addFloat32);
  for (let shard = first; shard < end; shard += 1) {
    fold.put({ first: shard, end: shard + 1 }, leaves[shard] ?? NaN);
  }
  expect(fold.held.map(({ node }) => node)).toEqual(nodes(first, end, shardCount));
  return fold.held;
}

const addFloat32 = (left: number, right: number): number => Math.fround(left + right);

/** The sum in tree order, worked out by plain recursion. */
function expected(leaves: readonly number[], { first, end }: Node): number {
  const pair = children({ first, end });
  if (pair === undefined) return leaves[first] ?? NaN;
  return addFloat32(expected(leaves, pair[0]), expected(leaves, pair[1]));
}

function randomLeaves(random: Random, count: number): readonly number[] {
  return Array.from({ length: count }, () =>
    Math.fround((random.float() - 0.5) * 10 ** random.below(8)),
  );
}

test.each(seeds)(
  "any way to cut the shards and any order of arrival gives the same float32 bits (SEED=%i)",
  (seed) => {
    const random = new Random(seed);
    const shardCount = 1 + random.below(70);
    const leaves = randomLeaves(random, shardCount);
    const wanted = expected(leaves, root(shardCount));

    const cuts = [0, ...Array.from({ length: random.below(6) }, () => random.below(shardCount))];
    const borders = [...new Set([...cuts, shardCount])].toSorted((a, b) => a - b);
    const parts = borders
      .slice(1)
      .flatMap((end, i) => foldRange(borders[i] ?? 0, end, shardCount, leaves));
    for (const { node, value } of parts) expect(value).toBe(expected(leaves, node));

    const order = Uint32Array.from(parts.keys());
    random.shuffle(order);
    const fold = new TreeFold<number>(shardCount, addFloat32);
    for (const at of order) {
      expect(fold.total).toBeUndefined();
      const part = parts[at];
      if (part !== undefined) fold.put(part.node, part.value);
    }
    expect(Object.is(fold.total, wanted)).toBe(true);
  },
);

test("the left child is handed over first, whichever came first", () => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
  ]) {
    const fold = new TreeFold<string>(3, (left, right) => `(${left}+${right})`);
    for (const shard of order) fold.put({ first: shard, end: shard + 1 }, String(shard));
    expect(fold.total).toBe("((0+1)+2)");
  }
});

test("the order of additions matters for these values, so the test above can fail", () => {
  const differing = seeds.filter((seed) => {
    const leaves = randomLeaves(new Random(seed), 33);
    return leaves.reduce(addFloat32) !== expected(leaves, root(33));
  });
  expect(differing.length).toBeGreaterThan(10);
});

test.each(seeds)(
  "nodes that come twice, or inside one that is held, change nothing (SEED=%i)",
  (seed) => {
    const random = new Random(seed, 1);
    const shardCount = 2 + random.below(40);
    const leaves = randomLeaves(random, shardCount);
    const all = everyNode(shardCount);
    const fold = new TreeFold<number>(shardCount, addFloat32);
    for (let i = 0; i < 10 * shardCount; i += 1) {
      const node = all[1 + random.below(all.length - 1)] ?? root(shardCount);
      fold.put(node, expected(leaves, node));
      expect(fold.covers(node)).toBe(true);
      const { held } = fold;
      for (const [at, part] of held.entries()) {
        expect(part.value).toBe(expected(leaves, part.node));
        expect(part.node.first).toBeGreaterThanOrEqual(held[at - 1]?.node.end ?? 0);
      }
    }
    for (let shard = 0; shard < shardCount; shard += 1) {
      fold.put({ first: shard, end: shard + 1 }, leaves[shard] ?? NaN);
    }
    expect(fold.total).toBe(expected(leaves, root(shardCount)));
  },
);
