import { describe, expect, test } from "vitest";
import { add } from "../../src/exchange/add.js";
import { BufferPool } from "../../src/exchange/bufferPool.js";
import { LeafFold } from "../../src/exchange/leafFold.js";
import { Random } from "../../src/plan/random.js";

function bits(values: Float32Array): readonly number[] {
  return [...new Uint32Array(values.buffer, values.byteOffset, values.length)];
}

describe("add", () => {
  test("rounds each addition once, to the nearest float32, ties to even", () => {
    const cases: readonly (readonly [number, number, number])[] = [
      [1, 2 ** -24, 1],
      [1 + 2 ** -23, 2 ** -24, 1 + 2 ** -22],
      [1, 2 ** -24 + 2 ** -47, 1 + 2 ** -23],
      [2 ** 24, 1, 2 ** 24],
      [3.4e38, 3.4e38, Infinity],
    ];
    for (const [left, right, sum] of cases) {
      const out = new Float32Array(1);
      add(out, Float32Array.of(left), Float32Array.of(right));
      expect(out[0], `${left} + ${right}`).toBe(Math.fround(sum));
    }
  });

  test("keeps subnormals and the sign of zero", () => {
    const out = new Float32Array(3);
    add(
      out,
      Float32Array.of(2 ** -149, -0, -(2 ** -126)),
      Float32Array.of(2 ** -149, -0, 2 ** -127),
    );
    expect([...out]).toEqual([2 ** -148, -0, -(2 ** -127)]);
  });

  test.each([0, 1, 2, 3, 4, 5, 7, 8, 9])("adds every one of %i elements", (length) => {
    const left = Float32Array.from({ length }, (_, i) => i + 0.5);
    const right = Float32Array.from({ length }, (_, i) => 10 * i);
    const expected = [...left].map((value, i) => value + 10 * i);
    const out = new Float32Array(length);
    add(out, left, right);
    expect([...out]).toEqual(expected);
    add(left, left, right);
    expect([...left]).toEqual(expected);
  });

  test("refuses vectors of different lengths", () => {
    expect(() => add(new Float32Array(3), new Float32Array(3), new Float32Array(2))).toThrow(
      "adding 3 and 2 elements into 3",
    );
  });
});

describe("the fold of a rank's shards", () => {
  const shardCount = 8;
  const values = (shard: number): Float32Array =>
    Float32Array.from({ length: 5 }, (_, i) => (shard + 1) * 1.1 ** (3 * i) * 10 ** (shard % 4));
  const sum = (a: Float32Array, b: Float32Array): Float32Array =>
    a.map((value, i) => Math.fround(value + (b[i] ?? NaN)));

  test.each([1, 2, 3, 4, 5])("gives the same bits in any order (SEED=%i)", (seed) => {
    const fold = new LeafFold(shardCount, new BufferPool());
    fold.make({ first: 0, end: 4 });
    fold.make({ first: 4, end: 6 });
    const order = Uint32Array.from([0, 1, 2, 3, 4, 5]);
    new Random(seed).shuffle(order);
    const made = [...order].map((shard) => fold.add(shard, values(shard)));
    const found = made.filter((node) => node !== undefined);
    const byFirst = found.toSorted((a, b) => a.node.first - b.node.first);
    expect(byFirst.map(({ node }) => node)).toEqual([
      { first: 0, end: 4 },
      { first: 4, end: 6 },
    ]);
    const expected = [
      sum(sum(values(0), values(1)), sum(values(2), values(3))),
      sum(values(4), values(5)),
    ];
    expect(byFirst.map((node) => bits(node.values))).toEqual(expected.map(bits));
  });

  test("never writes to a finished node, which may be being sent", () => {
    const fold = new LeafFold(shardCount, new BufferPool());
    fold.make({ first: 0, end: 2 });
    fold.add(0, values(0));
    const made = fold.add(1, values(1));
    const before = made?.values.slice() ?? new Float32Array();
    // A regroup deals the neighbours to the same rank, as ranges of their own.
    fold.make({ first: 2, end: 4 });
    fold.add(2, values(2));
    fold.add(3, values(3));
    fold.add(1, values(6));
    expect(bits(made?.values ?? new Float32Array())).toEqual(bits(before));
  });

  test("releases what it has folded away, each vector once", () => {
    const released: Float32Array[] = [];
    const fold = new LeafFold(shardCount, {
      allocate: (elements) => new Float32Array(elements),
      release: (vector) => released.push(vector),
    });
    fold.make({ first: 0, end: 4 });
    const vectors = [0, 1, 2, 3].map(values);
    vectors.forEach((vector, shard) => fold.add(shard, vector));
    expect(released).toHaveLength(3);
    const again = values(1);
    expect(fold.add(1, again)).toBeUndefined();
    expect(released.at(-1)).toBe(again);
    fold.close();
    expect(new Set(released)).toEqual(new Set([...vectors, again]));
    expect(released).toHaveLength(5);
  });

  test("refuses a shard that was not dealt", () => {
    const fold = new LeafFold(shardCount, new BufferPool());
    fold.make({ first: 0, end: 2 });
    expect(() => fold.add(2, values(2))).toThrow("shard 2 was not dealt to this rank");
  });
});
