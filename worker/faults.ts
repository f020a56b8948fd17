import type { ComputeCalls } from "./computeThread.js";
import { Failpoints, type Failpoint, type FailpointName } from "./failpoint.js";
import { sharedFloats, type Thread } from "./thread.js";

interface Place {
  readonly step: number;
  readonly shard: number;
}

/** Carries out the failpoints of a job's process. There is none of these outside tests. */
export class Faults {
  readonly #failpoints: Failpoints;
  readonly #compute: Thread<ComputeCalls>;
  readonly #say: (message: string) => void;

  constructor(
    list: readonly Failpoint[],
    compute: Thread<ComputeCalls>,
    say: (message: string) => void,
  ) {
    this.#failpoints = new Failpoints(list);
    this.#compute = compute;
    this.#say = say;
  }

  /** Before the probe. */
  async whilePreparing(): Promise<void> {
    if (this.#take("out-of-memory") !== undefined) await this.#compute.call("exhaust", undefined);
  }

  /** Before a shard is computed; answers with the milliseconds that it took longer. */
  async beforeShard({ step, shard }: Place): Promise<number> {
    const place = { step, shard };
    if (this.#take("exit", place) !== undefined) process.exit(70);
    if (this.#take("out-of-memory", place) !== undefined) {
      await this.#compute.call("exhaust", undefined);
    }
    if (this.#take("hang", place) !== undefined) await this.#compute.call("wedge", undefined);
    const slow = this.#take("slow", place);
    if (slow === undefined) return 0;
    const longerMs = slow.seconds * 1000;
    await this.#compute.call("pause", longerMs);
    return longerMs;
  }

  /** Spoils the gradient of a shard. Whether all its values are still numbers. */
  spoil({ step, shard }: Place, gradient: Float32Array): boolean {
    const middle = gradient.length >> 1;
    if (this.#take("wrong-shard", { step, shard }) !== undefined) {
      gradient[middle] = (gradient[middle] ?? 0) + 1;
    }
    if (this.#take("nan-shard", { step, shard }) === undefined) return true;
    gradient[middle] = NaN;
    return false;
  }

  /** Spoils what an evaluation counts. */
  miscount({ step, shard }: Place, correct: number): number {
    if (this.#take("wrong-count", { step, shard }) === undefined) return correct;
    return correct === 0 ? 1 : correct - 1;
  }

  /** After the update of `step`; answers with the checksum of what the device holds then. */
  async afterApply(step: number, count: number, checksum: number): Promise<number> {
    if (this.#take("flip-parameter", { step }) === undefined) return checksum;
    const parameters = sharedFloats(count);
    const momentum = sharedFloats(count);
    await this.#compute.call("read", { parameters, momentum });
    const bits = new Uint32Array(parameters.buffer);
    bits[count >> 1] = (bits[count >> 1] ?? 0) ^ (1 << 12);
    return this.#compute.call("write", { parameters, momentum });
  }

  #take(
    name: FailpointName,
    place?: { readonly step: number; readonly shard?: number },
  ): Failpoint | undefined {
    const taken = this.#failpoints.take(name, place);
    if (taken === undefined) return undefined;
    const where =
      place === undefined
        ? "in the probe"
        : `at step ${place.step}${place.shard === undefined ? "" : `, shard ${place.shard}`}`;
    this.#say(`failpoint ${name} fires ${where}`);
    return taken;
  }
}

/** `exit-before-ready`: before anything is said, so nothing tells of it but the exit code. */
export function exitBeforeReady(list: readonly Failpoint[]): void {
  if (new Failpoints(list).take("exit-before-ready") !== undefined) process.exit(70);
}
