import { parentPort } from "node:worker_threads";
import { simulate } from "./control/simulation.js";
import { added, emptyTally, type Tally } from "./control/tally.js";

/** A thread of simulate.ts: runs the seeds that it is given, and answers with their tally. */
parentPort?.on("message", (seeds: { readonly first: number; readonly count: number }) => {
  void run(seeds).then((tally) => {
    parentPort?.postMessage(tally);
  });
});

async function run({
  first,
  count,
}: {
  readonly first: number;
  readonly count: number;
}): Promise<Tally> {
  let tally = emptyTally;
  for (let seed = first; seed < first + count; seed += 1) {
    tally = added(tally, await simulate(seed));
  }
  return tally;
}
