/**
 * Holds back what is told to workers until the records ahead of it are durable: a worker must never act on an attempt, a
 * generation or a result that a coordinator after us could not know of. A record in which only the step moved on holds nothing
 * back, since the workers themselves say after a restart how far they are. What waits keeps its order for every worker.
 */
import type { FleetCommand } from "../src/control/fleetEvent.js";
import type { WorkerCommand } from "../src/control/message.js";
import type { JobRecord } from "../src/control/record.js";
import { Waiters } from "./waiters.js";

export type Delivery = Extract<FleetCommand, { readonly kind: "send" | "close" }>;

export interface OutboxOptions {
  /** Resolves once the record is durable. */
  readonly store: (record: JobRecord) => Promise<void>;
  /** Writes the record some time. */
  readonly put: (record: JobRecord) => void;
  readonly deliver: (delivery: Delivery) => void;
}

/** What must be durable before a worker hears of it. */
const decisive = [
  "state",
  "attempt",
  "generation",
  "pin",
  "members",
  "checkpoints",
  "evaluations",
  "weights",
] as const satisfies readonly (keyof JobRecord)[];

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #last = new Map<string, JobRecord>();
  /** By job: how many decisive records are on their way. */
  readonly #unkept = new Map<string, number>();
  #waiting: Delivery[] = [];
  readonly #idle = new Waiters();

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  keep(record: JobRecord): void {
    const last = this.#last.get(record.name);
    this.#last.set(record.name, record);
    if (last && decisive.every((field) => last[field] === record[field])) {
      this.#options.put(record);
      return;
    }
    this.#count(record.name, 1);
    void this.#options.store(record).then(() => {
      this.#count(record.name, -1);
      this.#release();
    });
  }

  /** The job is removed. */
  forget(job: string): void {
    this.#last.delete(job);
  }

  /** Delivers now or later, in order. */
  add(delivery: Delivery): void {
    if (delivery.kind === "send" && delivery.command.kind === "welcome") {
      // A new stream: what was meant for the one before is said again, and while NATS is away a worker must not wait for it.
      const { incarnation } = delivery;
      this.#waiting = this.#waiting.filter((waiting) => waiting.incarnation !== incarnation);
      this.#options.deliver(delivery);
    } else if (this.#unkept.size === 0 && this.#waiting.length === 0)
      this.#options.deliver(delivery);
    else {
      this.#waiting.push(delivery);
      this.#release();
    }
  }

  /** Resolves once the job's decisive records are durable: true, or false when the deadline passes first. */
  async kept(job: string, deadlineMs: number): Promise<boolean> {
    const endsAtMs = performance.now() + deadlineMs;
    while (this.#unkept.has(job)) {
      const leftMs = endsAtMs - performance.now();
      if (leftMs <= 0) return false;
      await this.#idle.wait(leftMs);
    }
    return true;
  }

  /** Resolves once the job's decisive records are durable. */
  async whenKept(job: string): Promise<void> {
    while (this.#unkept.has(job)) await this.#idle.wait();
  }

  #count(job: string, change: number): void {
    const count = (this.#unkept.get(job) ?? 0) + change;
    if (count > 0) this.#unkept.set(job, count);
    else this.#unkept.delete(job);
  }

  #release(): void {
    const blocked = new Set<string>();
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const delivery of waiting) {
      const job = delivery.kind === "send" ? jobOf(delivery.command) : undefined;
      const mustWait =
        blocked.has(delivery.incarnation) || (job !== undefined && this.#unkept.has(job));
      if (mustWait) {
        blocked.add(delivery.incarnation);
        this.#waiting.push(delivery);
      } else this.#options.deliver(delivery);
    }
    this.#idle.wake();
  }
}

function jobOf(command: WorkerCommand): string | undefined {
  if (command.kind === "prepare") return command.order.job;
  return "job" in command ? command.job : undefined;
}
