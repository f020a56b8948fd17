import { reasonOf } from "../src/job/problem.js";
import type { Variables } from "../src/process/variables.js";
import type { Logger } from "../src/process/logger.js";
import { openStore } from "../src/store/openStore.js";

/**
 * Tries the store as this machine sees it, once, so that what is wrong with it is told when a worker joins and not by a job. Never
 * rejects: what passes, such as a server that is away, must not end the worker.
 */
export async function proveStore(
  address: string,
  variables: Variables,
  logger: Pick<Logger, "warn" | "error">,
): Promise<void> {
  try {
    const store = await openStore(address, variables);
    for (const limit of await store.prove()) logger.warn(limit);
  } catch (error) {
    logger.error(`this worker's tasks and jobs will fail: ${reasonOf(error)}`);
  }
}
