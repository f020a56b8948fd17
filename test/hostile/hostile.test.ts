import { describe, expect, test } from "vitest";
import { fuzz, neverPassed } from "./fuzzing.js";
import { ConfigError } from "../../src/job/problem.js";
import type { Kind, Target } from "./kind.js";
import { kinds } from "./kinds.js";

/** A few thousand inputs in all; `npm run fuzz` reads ten thousand of each kind. */
const inputs = 400;

describe("spoilt input is refused in words, or read as what it is", () => {
  test.each(kinds)("$name", { timeout: 300_000 }, async (kind) => {
    const report = await fuzz(kind, { inputs, seed: 20_261 });
    expect(neverPassed(report)).toEqual([]);
  });
});

describe("what may not happen is found", () => {
  const target = (feed: Target["feed"]): Kind => ({
    name: "toy",
    stages: [
      { name: "first", refusal: /^first/ },
      { name: "second", refusal: /^second/ },
    ],
    open: async () => ({ feed }),
  });
  const fed = (feed: Target["feed"]) => fuzz(target(feed), { inputs: 3, seed: 1, first: 5 });

  test("a stage that nothing passed", async () => {
    const report = await fed(() => {
      throw new ConfigError("second");
    });
    expect(report.passed).toEqual({ first: 3, second: 0 });
    expect(neverPassed(report)).toEqual(["second", "accepted"]);
  });

  test("an error that is no refusal, also where a refusal hides it", async () => {
    const crash = fed(() => {
      throw new TypeError("x is undefined");
    });
    await expect(crash).rejects.toThrow("toy --seed 1 --first 5 --inputs 1: TypeError");
    const hidden = fed(() => {
      throw new ConfigError("first", { cause: new TypeError("x is undefined") });
    });
    await expect(hidden).rejects.toThrow("x is undefined was behind it");
  });

  test("a refusal of no known stage", async () => {
    const other = fed(() => {
      throw new ConfigError("third");
    });
    await expect(other).rejects.toThrow("a refusal of no known stage: third");
  });

  test("memory that is kept, and not what the collector has yet to free", async () => {
    const kept: Buffer[] = [];
    const megabyte = (): Buffer => Buffer.alloc(2 ** 20, 1);
    const growth = async (feed: Target["feed"]): Promise<number> =>
      (await fuzz(target(feed), { inputs: 100, seed: 1 })).heapGrowthBytes;
    expect(await growth(() => void kept.push(megabyte()))).toBeGreaterThan(80 * 2 ** 20);
    expect(await growth(() => void megabyte())).toBeLessThan(20 * 2 ** 20);
  });

  test("a prototype that was changed", async () => {
    const name = "polluted";
    const pollute = fed(() => {
      Object.defineProperty(Object.prototype, name, { value: 1, configurable: true });
    });
    await expect(pollute).rejects.toThrow("a prototype was changed");
    Reflect.deleteProperty(Object.prototype, name);
  });
});
