import type { HostClock, Process } from "./process.js";

interface Work {
  readonly ms: number;
  readonly run: () => void;
  readonly isShard: boolean;
}

/** Does one thing after another, each of which takes its time. */
export class ToyDevice {
  /** It does nothing any more, and looks busy. */
  isStuck = false;
  readonly #process: Process;
  readonly #clock: HostClock;
  #work: readonly Work[] = [];
  #isBusy = false;
  /** Since when it has been at what it does now. */
  #busySinceMs: number | undefined;
  #hasFailed = false;

  constructor(process: Process, clock: HostClock) {
    this.#process = process;
    this.#clock = clock;
  }

  /** It has said so, and does nothing more. */
  get hasFailed(): boolean {
    return this.#hasFailed;
  }

  get hasShards(): boolean {
    return this.#work.some(({ isShard }) => isShard);
  }

  /** How long it has been at what it does now; -1 for nothing. */
  get unitMs(): number {
    return this.#busySinceMs === undefined ? -1 : this.#clock.nowMs - this.#busySinceMs;
  }

  enqueue(work: Work): void {
    this.#work = [...this.#work, work];
    this.#next();
  }

  dropShards(): void {
    this.#work = this.#work.filter(({ isShard }) => !isShard);
  }

  fail(): void {
    this.#work = [];
    this.#hasFailed = true;
  }

  #next(): void {
    const [work] = this.#work;
    if (this.#isBusy || work === undefined) return;
    this.#busySinceMs ??= this.#clock.nowMs;
    if (this.isStuck || this.#hasFailed) return;
    this.#isBusy = true;
    this.#work = this.#work.slice(1);
    this.#process.after(work.ms, () => {
      this.#isBusy = false;
      this.#busySinceMs = undefined;
      // Work that was dropped meanwhile is done in vain, as on a device.
      work.run();
      this.#next();
    });
  }
}
