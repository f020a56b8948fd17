import { expect, test } from "vitest";
import { scaled, type Lull } from "../../src/control/scaling.js";

const bounds = { min: 1, max: 8, downAfterMs: 100 };

/** Demand at moments 40 ms apart; what was asked for after each. */
function follow(current: number, demands: readonly number[]): readonly number[] {
  let lull: Lull | undefined;
  return demands.map((demand, i) => {
    const next = scaled(lull, { demand, current, nowMs: 40 * i }, bounds);
    lull = next.lull;
    current = next.replicas ?? current;
    return current;
  });
}

test("more is asked for at once, within the bounds", () => {
  expect(follow(1, [3, 5, 40])).toEqual([3, 5, 8]);
});

test("less only after demand has stayed lower, down to the least", () => {
  expect(follow(5, [0, 0, 0, 0, 0])).toEqual([5, 5, 5, 1, 1]);
});

test("a lull ends with the demand that there is, and then begins anew", () => {
  expect(follow(5, [0, 0, 5, 0, 0, 0, 0])).toEqual([5, 5, 5, 5, 5, 5, 1]);
});

test("the most of the lull is kept, not the least", () => {
  expect(follow(6, [0, 4, 2, 2])).toEqual([6, 6, 6, 4]);
});

test("what is out of bounds is brought back", () => {
  expect(follow(0, [0])).toEqual([1]);
  expect(follow(20, [20, 20, 20, 20])).toEqual([20, 20, 20, 8]);
});
