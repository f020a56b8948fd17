import type { Toy } from "./toy.js";

/** Examples that a pass over the data has. */
export const passExamples = 100;

/** Which examples a shard of a step holds: places run on across the passes, each of which has an order of its own. */
export function exampleIds(toy: Toy, step: number, shard: number): readonly number[] {
  const first = (step * toy.shards + shard) * toy.shardSize;
  return Array.from({ length: toy.shardSize }, (_, slot) => {
    const pass = Math.floor((first + slot) / passExamples);
    return ((first + slot) * 37 + 11 * pass) % passExamples;
  });
}

/** What is wrong where not every example was used once per pass; `uses`: by step and shard. */
export function passProblem(toy: Toy, uses: readonly (readonly number[])[]): string | undefined {
  const counts = new Array<number>(passExamples).fill(0);
  uses.forEach((shards, step) => {
    shards.forEach((times, shard) => {
      for (const id of exampleIds(toy, step, shard)) counts[id] = (counts[id] ?? 0) + times;
    });
  });
  const whole = Math.floor((toy.steps * toy.shards * toy.shardSize) / passExamples);
  const odd = counts.findIndex((count) => count !== whole && count !== whole + 1);
  return odd < 0
    ? undefined
    : `example ${odd} was used ${counts[odd] ?? 0} times in ${whole} passes`;
}
