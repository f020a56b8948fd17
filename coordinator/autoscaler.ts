/** Keeps the workers' StatefulSet at what the jobs can use, within bounds. */
import { setTimeout as sleep } from "node:timers/promises";

import type { Fleet } from "../src/control/fleetState.js";
import { scaled, type Lull } from "../src/control/scaling.js";
import { workersUsable } from "../src/control/wanted.js";
import { ConfigError, FailureError } from "../src/job/problem.js";
import type { Variables } from "../src/process/variables.js";
import {
  kubernetesAccess,
  scaleOfStatefulSet,
  scaleStatefulSet,
} from "../src/process/kubernetes.js";
import type { Logger } from "../src/process/logger.js";
import type { ScalingTarget } from "../src/process/scalingTarget.js";

export interface AutoscalerOptions {
  readonly target: ScalingTarget;
  /** For the service account, whose token is read anew each time, since it expires. */
  readonly variables: Variables;
  readonly fleet: () => Fleet;
  readonly logger: Logger;
  readonly everyMs?: number;
  readonly downAfterMs?: number;
}

export class Autoscaler {
  readonly #options: AutoscalerOptions;
  readonly #end = new AbortController();
  readonly #over: Promise<void>;
  #lull: Lull | undefined;
  #trouble: string | undefined;

  constructor(options: AutoscalerOptions) {
    this.#options = options;
    this.#over = this.#run();
  }

  /** Waits for a request under way. */
  async stop(): Promise<void> {
    this.#end.abort();
    await this.#over;
  }

  async #run(): Promise<void> {
    const { signal } = this.#end;
    while (!signal.aborted) {
      await this.#look();
      await sleep(this.#options.everyMs ?? 5000, undefined, { signal }).catch(() => undefined);
    }
  }

  /** What goes wrong is said once, and tried again. */
  async #look(): Promise<void> {
    const { logger, target } = this.#options;
    try {
      await this.#scale();
      if (this.#trouble !== undefined) logger.info(target, "the workers can be scaled again");
      this.#trouble = undefined;
    } catch (error) {
      if (!(error instanceof FailureError) && !(error instanceof ConfigError)) throw error;
      if (error.message !== this.#trouble)
        logger.warn({ reason: error.message }, "cannot scale the workers; trying again");
      this.#trouble = error.message;
    }
  }

  async #scale(): Promise<void> {
    const { target, variables, fleet, logger, downAfterMs = 120_000 } = this.#options;
    const access = kubernetesAccess(variables);
    if (access === undefined)
      throw new FailureError("there is no service account of a pod, and KUBECONFIG names no file");
    const set = { name: target.statefulSet, namespace: access.namespace };
    const current = await scaleOfStatefulSet(access, set);
    const demand = workersUsable(fleet());
    const seen = { demand, current, nowMs: performance.now() };
    const { replicas, lull } = scaled(this.#lull, seen, { ...target, downAfterMs });
    this.#lull = lull;
    if (replicas === undefined || this.#end.signal.aborted) return;
    await scaleStatefulSet(access, { ...set, replicas });
    logger.info({ ...set, from: current, to: replicas, demand }, "scaled the workers");
  }
}
