import { describe, expect, test } from "vitest";
import { dealAll, sharesOf } from "../../src/control/dealing.js";
import type { Pace } from "../../src/control/fleetState.js";
import { noPace, reported } from "../../src/control/pace.js";
import { straggler, usage } from "../../src/control/usage.js";

function names(count: number): readonly string[] {
  return Array.from({ length: count }, (_, i) => `w${i + 1}`);
}

/** Deals and reports so many rounds; worker i takes `shardMs[i]` for a shard. */
function after(rounds: number, shardMs: readonly number[], shards: number, from = noPace): Pace {
  const members = names(shardMs.length);
  let pace = from;
  for (let round = 0; round < rounds; round += 1) {
    const dealt = dealAll(pace, members, shards);
    pace = { ...pace, shares: sharesOf(dealt) };
    members.forEach((id, rank) => {
      const count = pace.shares.get(id) ?? 0;
      const computeMs = count * (shardMs[rank] ?? 1);
      pace = reported(pace, id, { shards: count, computeMs, exchangeMs: 1 });
    });
  }
  return pace;
}

describe("what the number of workers costs", () => {
  test.each([
    [1, 1],
    [2, 1],
    [3, 32 / 33],
    [5, 32 / 35],
    [7, 32 / 35],
    [31, 32 / 62],
    [32, 1],
  ])("32 shards use %i equal workers to %f", (workers, expected) => {
    const pace = after(
      1,
      Array.from({ length: workers }, () => 10),
      32,
    );
    expect(usage(pace, names(workers))).toBeCloseTo(expected, 12);
  });

  test("workers of other speeds count by their speeds", () => {
    const pace = after(3, [10, 20], 32);
    expect([...pace.shares.values()]).toEqual([22, 10]);
    // 32 shards at 0.15 per ms are 213 ms; the slower one is done after 220.
    expect(usage(pace, names(2))).toBeCloseTo(32 / 0.15 / 220, 12);
  });

  test("is not known before somebody new has been dealt shards", () => {
    expect(usage(after(1, [10], 32), names(2))).toBeUndefined();
    expect(usage(noPace, [])).toBeUndefined();
  });
});

describe("a newcomer's share", () => {
  test("is that of a mean worker at once, and what its speed is worth three rounds later", () => {
    const before = after(4, [10, 10], 32);
    const atOnce = dealAll(before, names(3), 32);
    expect([...sharesOf(atOnce).values()]).toEqual([11, 11, 10]);
    const later = after(3, [10, 10, 30], 32, before);
    expect([...later.shares.values()]).toEqual([14, 14, 4]);
  });
});

describe("a straggler", () => {
  test("is named where it takes half as long again as the median", () => {
    expect(straggler(after(2, [10, 11, 25], 32), names(3))).toMatchObject({ workerId: "w3" });
    expect(straggler(after(2, [10, 11, 25], 32), names(3))?.times).toBeCloseTo(25 / 11, 6);
    expect(straggler(after(2, [10, 11, 16], 32), names(3))).toBeUndefined();
  });

  test("of two is measured by the other one, and alone there is none", () => {
    expect(straggler(after(2, [30, 10], 32), names(2))).toMatchObject({ workerId: "w1" });
    expect(straggler(after(2, [30], 32), names(1))).toBeUndefined();
    expect(straggler(noPace, names(3))).toBeUndefined();
  });
});
