import type { World } from "./world.js";

/** The clocks of one host: monotonic ones begin anywhere and run a little fast or slow, the one on the wall jumps. */
export class HostClock {
  /** How far the clock on the wall is off. */
  jumpMs = 0;
  readonly #world: World;
  readonly #rate: number;
  readonly #originMs: number;

  constructor(world: World) {
    this.#world = world;
    this.#rate = 1 + 0.02 * (world.random.float() - 0.5);
    this.#originMs = world.between(0, 1_000_000);
  }

  get nowMs(): number {
    return this.#originMs + this.#rate * this.#world.nowMs;
  }

  get wallMs(): number {
    return 1e12 + this.#world.nowMs + this.jumpMs;
  }

  /** What a time by this clock is in the world. */
  worldMs(ms: number): number {
    return ms / this.#rate;
  }
}

const aborted = new Error("aborted");

/** Something that can be killed for good, and stopped for a while: what comes meanwhile waits. */
export class Process {
  readonly clock: HostClock;
  readonly #world: World;
  #waiting: (() => void)[] = [];
  #isAlive = true;
  #isStopped = false;

  constructor(world: World, clock: HostClock) {
    this.#world = world;
    this.clock = clock;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isStopped(): boolean {
    return this.#isStopped;
  }

  kill(): void {
    this.#isAlive = false;
    this.#waiting = [];
  }

  stop(): void {
    this.#isStopped = true;
  }

  goOn(): void {
    this.#isStopped = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const run of waiting) this.do(run);
  }

  do(run: () => void): void {
    if (!this.#isAlive) return;
    if (this.#isStopped) this.#waiting.push(run);
    else run();
  }

  after(ms: number, run: () => void): void {
    this.#world.after(this.clock.worldMs(ms), () => {
      this.do(run);
    });
  }

  every(ms: number, run: () => void): void {
    const again = (): void => {
      run();
      later();
    };
    const wake = (): void => {
      this.do(again);
    };
    const later = (): void => {
      this.#world.after(this.clock.worldMs(ms), wake);
    };
    later();
  }

  /** Rejects as soon as the signal aborts, as node's own does. */
  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (act: () => void) => (): void => {
        this.#world.unsettle();
        act();
      };
      const onAbort = settle(() => {
        reject(aborted);
      });
      if (signal.aborted) {
        onAbort();
        return;
      }
      signal.addEventListener("abort", onAbort, { once: true });
      this.after(
        ms,
        settle(() => {
          signal.removeEventListener("abort", onAbort);
          resolve();
        }),
      );
    });
  }
}
