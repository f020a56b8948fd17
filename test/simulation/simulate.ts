import { parseArgs } from "node:util";
import { faultNames } from "./control/faults.js";
import { simulate } from "./control/simulation.js";

/**
 * Simulates fleets under many seeds and says what was put to the test: `--seeds N` of them, from
 * `--seed S` on. A single seed, or one that fails, tells its story. Exits 1 if any failed.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    seed: { type: "string", default: "0" },
  },
});
const first = Number(values.seed);
const count = Number(values.seeds);
const failed: number[] = [];
const fired = new Map<string, number>(faultNames.map((fault) => [fault, 0]));
const ended: number[] = [];
let [rounds, redone] = [0, 0];

for (let seed = first; seed < first + count; seed += 1) {
  const outcome = simulate(seed);
  rounds += outcome.rounds;
  redone += outcome.redone;
  ended.push(Math.max(0, outcome.endMs - outcome.healedMs));
  for (const [fault, times] of outcome.fired) fired.set(fault, (fired.get(fault) ?? 0) + times);
  const isWrong = outcome.mistakes.length > 0;
  if (isWrong) failed.push(seed);
  if (!isWrong && count > 1) continue;
  console.log(`seed ${seed}`);
  for (const line of outcome.story) console.log(`  ${line}`);
  for (const mistake of outcome.mistakes) console.log(`  WRONG: ${mistake}`);
}

const sorted = ended.toSorted((a, b) => a - b);
console.log(`${count} seeds from ${first}: ${rounds} rounds decided, ${failed.length} seeds wrong`);
console.log(`steps decided again, alike, by a later coordinator: ${redone}`);
console.log(
  `simulated time from the last fault to the end: half under ${seconds(0.5)}, all under ${seconds(1)}`,
);
for (const [fault, times] of fired) console.log(`  ${String(times).padStart(6)}  ${fault}`);
const [worst] = failed;
if (worst !== undefined) {
  console.log(`replay: npm run simulate -- --seeds 1 --seed ${worst}`);
  process.exitCode = 1;
}

function seconds(part: number): string {
  const ms = sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
  return `${(ms / 1000).toFixed(1)} s`;
}
