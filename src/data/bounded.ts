import { availableParallelism } from "node:os";
import { Budget } from "./budget.js";

/** Pictures read at once: enough for every processor, and bounded where there are very many. */
export const concurrencyDefault = Math.min(availableParallelism(), 16);

/** Of the files of pictures in memory, all together. Whoever holds some of it may wait for the decoder's, never the reverse. */
export const fileMemory = new Budget(256 * 2 ** 20);

/**
 * Runs `work` for every item, at most `limit` at a time, and gives the results in the order of the
 * items. After the first failure nothing more is started, and that failure is thrown once what is
 * under way has ended, so that no work outlives the call.
 */
export async function mapBounded<In, Out>(
  items: readonly In[],
  limit: number,
  work: (item: In, i: number) => Promise<Out>,
): Promise<Out[]> {
  const results = new Array<Out>(items.length);
  const queue = items.entries();
  const failures: unknown[] = [];
  const lane = async (): Promise<void> => {
    for (const [i, item] of queue) {
      if (failures.length > 0) return;
      try {
        results[i] = await work(item, i);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
  if (failures.length > 0) throw failures[0];
  return results;
}
