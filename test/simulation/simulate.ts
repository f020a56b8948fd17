import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { runBroken } from "./broken/run.js";
import { emptyTally, joined, report, type Tally } from "./control/tally.js";
import { simulate } from "./control/simulation.js";

/**
 * Simulates fleets under many seeds and says what was put to the test: `--seeds N` of them, from
 * `--seed S` on, over `--threads T` threads (as many as there are cores). A single seed, or the
 * first that fails, tells its story. Exits 1 if any failed. With `--broken` it simulates copies of
 * the code that are broken in one place each instead, and exits 1 if one of them is not seen.
 */
const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "100" },
    seed: { type: "string", default: "0" },
    threads: { type: "string", default: String(availableParallelism()) },
    broken: { type: "boolean", default: false },
  },
});
const first = Number(values.seed);
const count = Number(values.seeds);

/** Seeds that a thread is given at once. */
const portion = 20;
const progressMs = 5_000;

if (values.broken) {
  const missed = await runBroken(count, Number(values.threads));
  process.exit(missed === 0 ? 0 : 1);
}

const beganMs = performance.now();
const tally = await simulateAll();
const seconds = (performance.now() - beganMs) / 1000;
for (const line of report(tally)) console.log(line);
console.log(`${(tally.seeds / seconds).toFixed(1)} seeds and ${perSecond()} rounds a second`);
const [failed] = tally.failed;
const told = failed ?? (count === 1 ? first : undefined);
if (told !== undefined) await tell(told);
if (failed !== undefined) {
  console.log(`replay: npm run simulate -- --seeds 1 --seed ${failed}`);
  process.exitCode = 1;
}

async function simulateAll(): Promise<Tally> {
  const portions: { readonly first: number; readonly count: number }[] = [];
  for (let at = 0; at < count; at += portion) {
    portions.push({ first: first + at, count: Math.min(portion, count - at) });
  }
  let total = emptyTally;
  const progress = setInterval(() => {
    console.log(`${total.seeds} of ${count} seeds, ${total.failed.length} wrong`);
  }, progressMs);
  const threads = Math.min(Number(values.threads), portions.length);
  await Promise.all(
    Array.from({ length: threads }, async () => {
      const worker = new Worker(new URL("./simulateThread.js", import.meta.url));
      for (let next = portions.shift(); next !== undefined; next = portions.shift()) {
        const answer = await ask(worker, next);
        total = joined(total, answer);
      }
      await worker.terminate();
    }),
  );
  clearInterval(progress);
  return total;
}

function ask(worker: Worker, seeds: { readonly first: number; readonly count: number }) {
  return new Promise<Tally>((resolve, reject) => {
    const onError = (error: Error): void => {
      reject(error);
    };
    worker.once("error", onError);
    worker.once("message", (answer: Tally) => {
      worker.off("error", onError);
      resolve(answer);
    });
    worker.postMessage(seeds);
  });
}

async function tell(seed: number): Promise<void> {
  const { story, mistakes } = await simulate(seed);
  console.log(`seed ${seed}`);
  for (const line of story) console.log(`  ${line}`);
  for (const mistake of mistakes) console.log(`  WRONG: ${mistake}`);
}

function perSecond(): number {
  return Math.round(tally.rounds / seconds);
}
