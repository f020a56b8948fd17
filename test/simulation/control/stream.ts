import type { WorkerCommand, WorkerEvent } from "../../../src/control/message.js";
import type { Process } from "./process.js";
import type { World } from "./world.js";

/**
 * One gRPC stream. What goes one way arrives in order or not at all; a cut is noticed by the two
 * ends at different times; a silent direction holds everything back.
 */
export class Stream {
  readonly #world: World;
  readonly #ends: Readonly<Record<Side, End>>;
  #isCut = false;

  constructor(world: World, worker: Process, coordinator: Process) {
    this.#world = world;
    this.#ends = { worker: end(worker), coordinator: end(coordinator) };
  }

  onEvent: (event: WorkerEvent) => void = () => undefined;
  onCommand: (term: number, command: WorkerCommand) => void = () => undefined;
  onClosed: Readonly<Record<Side, () => void>> = {
    worker: () => undefined,
    coordinator: () => undefined,
  };

  send(event: WorkerEvent): void {
    this.#carry("coordinator", () => {
      this.onEvent(event);
    });
  }

  command(term: number, command: WorkerCommand): void {
    this.#carry("worker", () => {
      this.onCommand(term, command);
    });
  }

  isOpen(side: Side): boolean {
    return this.#ends[side].isOpen;
  }

  /** Holds back what goes to that side. */
  silence(to: Side, forMs: number): void {
    const { nowMs } = this.#world;
    this.#ends[to].freeMs = Math.max(this.#ends[to].freeMs, nowMs + forMs);
  }

  /** One side closes, or the link breaks: that side knows now or soon, the other later. */
  cut(first: Side, firstMs: number, otherMs: number): void {
    this.#close(first, firstMs);
    this.#close(first === "worker" ? "coordinator" : "worker", otherMs);
    this.#isCut = true;
  }

  #close(side: Side, ms: number): void {
    const target = this.#ends[side];
    this.#world.after(ms, () => {
      target.process.do(() => {
        if (!target.isOpen) return;
        target.isOpen = false;
        this.onClosed[side]();
      });
    });
  }

  #carry(to: Side, arrive: () => void): void {
    const target = this.#ends[to];
    if (this.#isCut) return;
    const { nowMs } = this.#world;
    const atMs = Math.max(target.freeMs, nowMs + this.#world.between(0, 12));
    target.freeMs = atMs;
    this.#world.after(atMs - nowMs, () => {
      target.process.do(() => {
        if (target.isOpen) arrive();
      });
    });
  }
}

type Side = "worker" | "coordinator";

interface End {
  readonly process: Process;
  isOpen: boolean;
  /** Nothing arrives before. */
  freeMs: number;
}

function end(process: Process): End {
  return { process, isOpen: true, freeMs: 0 };
}
