import { describe, expect, test } from "vitest";
import { OpenSteps } from "../../src/exchange/openSteps.js";

const sum = (value: number): Float32Array => Float32Array.of(value);

function at(step: number): OpenSteps {
  const steps = new OpenSteps();
  steps.load(step);
  steps.loaded();
  return steps;
}

describe("a member's steps", () => {
  test("an update is due when it was told and its sum is here", () => {
    const steps = at(4);
    steps.deal(4, false);
    steps.summed(4, sum(1), 1);
    expect(steps.next()).toBeUndefined();
    steps.owe(4, true, undefined);
    expect(steps.next()).toEqual({ step: 4, save: true, sum: sum(1), wrong: undefined });
    expect(steps.next()).toBeUndefined();
    expect(steps.at).toBe(5);
  });

  test("a sum that is not the one that was decided is told of", () => {
    const steps = at(4);
    steps.deal(4, false);
    steps.summed(4, sum(1), 70);
    steps.owe(4, false, 71);
    expect(steps.next()?.wrong).toBe(
      "its sum of step 4 has checksum 70, and the one that was decided 71",
    );
    steps.deal(5, false);
    steps.summed(5, sum(1), 72);
    steps.owe(5, false, 72);
    expect(steps.next()?.wrong).toBeUndefined();
  });

  test("a step that nobody follows is over with its update", () => {
    const steps = at(4);
    expect(steps.deal(4, false)).toBe(true);
    expect(steps.deal(4, false)).toBe(false);
    expect(steps.applied(4)).toEqual([4]);
    expect(steps.applied(4)).toEqual([]);
  });

  test("a step that is followed is over with the update after it", () => {
    const steps = at(4);
    steps.deal(4, true);
    expect(steps.applied(4)).toEqual([]);
    steps.deal(5, false);
    expect(steps.applied(5)).toEqual([4, 5]);
  });
});

describe("a follower's steps", () => {
  test("updates told while the state is on its way are made on top of it, in order", () => {
    const steps = new OpenSteps();
    steps.load(4);
    for (const step of [4, 5]) {
      steps.deal(step, true);
      steps.owe(step, false, undefined);
    }
    steps.summed(5, sum(5), 5);
    steps.summed(4, sum(4), 4);
    expect(steps.next()).toBeUndefined();
    expect(steps.isAt(4)).toBe(false);
    steps.loaded();
    expect(steps.isAt(4)).toBe(true);
    expect(steps.next()).toEqual({ step: 4, save: false, sum: sum(4), wrong: undefined });
    expect(steps.next()).toEqual({ step: 5, save: false, sum: sum(5), wrong: undefined });
    expect(steps.isAt(6)).toBe(true);
  });

  test("an update waits for its sum, and those after it with it", () => {
    const steps = at(4);
    for (const step of [4, 5]) {
      steps.deal(step, true);
      steps.owe(step, false, undefined);
    }
    steps.summed(5, sum(5), 5);
    expect(steps.next()).toBeUndefined();
    steps.summed(4, sum(4), 4);
    expect(steps.next()?.step).toBe(4);
    expect(steps.next()?.step).toBe(5);
  });

  test("another load drops all that was open and told", () => {
    const steps = at(4);
    steps.deal(4, true);
    steps.summed(4, sum(4), 4);
    steps.owe(4, false, undefined);
    expect(steps.load(4)).toEqual([4]);
    steps.loaded();
    steps.deal(4, true);
    steps.summed(4, sum(4), 4);
    expect(steps.next()).toBeUndefined();
    expect(steps.at).toBe(4);
  });
});
