/**
 * Feeds events to the fleet and carries out its commands. Decides nothing: each command starts work and returns at once, and what
 * that work leads to comes back as another event.
 */
import type {
  FleetCommand,
  FleetHappening,
  FleetOptions,
  Origin,
} from "../src/control/fleetEvent.js";
import { plural } from "../src/job/plural.js";
import { advance, emptyFleet } from "../src/control/fleet.js";
import type { Fleet, Hello } from "../src/control/fleetState.js";
import type { Task, WorkerCommand, WorkerEvent } from "../src/control/message.js";
import { WireError } from "../src/job/problem.js";
import type { WorkerSession } from "../src/link/service.js";
import type { Logger } from "../src/process/logger.js";
import type { Raised } from "./lock.js";
import { LineRates, linesPerSecond } from "./lineRates.js";
import type { Memory } from "./memory.js";
import { Outbox, type Delivery } from "./outbox.js";
import { Sessions } from "./sessions.js";
import { Tasks, type TaskOptions } from "./tasks.js";
import type { Wakeup } from "./wakeup.js";

export interface LoopOptions {
  readonly fleet: FleetOptions;
  readonly memory: Memory;
  readonly logger: Logger;
  /** For those who count what happens. */
  readonly onAdvance?: (before: Fleet, after: Fleet, happening: FleetHappening) => void;
  /** Deletes old checkpoints; returns at once. */
  readonly discard: (job: string, keep: number, upTo: number) => void;
  /** An error of our own: the process ends. */
  readonly onFatal: (error: unknown) => void;
  /** Claims a term above the one that a worker says it has obeyed, if it can have. */
  readonly onHigherTerm: (term: number) => Promise<Raised>;
}

export class Loop {
  readonly #options: LoopOptions;
  readonly #sessions: Sessions;
  readonly #outbox: Outbox;
  readonly #tasks: Tasks;
  readonly #watchers = new Set<Wakeup>();
  readonly #rates = new LineRates();
  readonly #happenings: FleetHappening[] = [];
  #fleet: Fleet;
  #handling = false;
  #isOver = false;
  #raising = false;
  #ticking: NodeJS.Timeout;

  constructor(options: LoopOptions) {
    this.#options = options;
    const { memory } = options;
    this.#fleet = emptyFleet(options.fleet, memory.found, memory.logged, performance.now());
    this.#sessions = new Sessions({
      onEvent: (workerId, incarnation, event, origin) =>
        this.#hear(workerId, incarnation, event, origin),
      onDisconnected: (workerId, incarnation) =>
        this.handle({ kind: "disconnected", workerId, incarnation }),
    });
    this.#outbox = new Outbox({
      store: (record) => memory.store(record),
      put: (record) => memory.put(record),
      deliver: (delivery) => this.#deliver(delivery),
    });
    this.#tasks = new Tasks(
      (taskId, task) => this.handle({ kind: "task", taskId, task }),
      (taskId) => this.handle({ kind: "cancel-task", taskId }),
    );
    this.#ticking = setInterval(() => this.handle({ kind: "tick" }), options.fleet.tickMs);
  }

  get fleet(): Fleet {
    return this.#fleet;
  }

  attach(session: WorkerSession): void {
    this.#sessions.attach(session);
  }

  runTask(task: Task, options: TaskOptions): Promise<string> {
    return this.#tasks.run(task, options);
  }

  /** Resolves once what was decided about the job is durable: true, or false when the deadline passes first. */
  kept(job: string, deadlineMs: number): Promise<boolean> {
    return this.#outbox.kept(job, deadlineMs);
  }

  /** Knows the job no more, which has ended. */
  drop(job: string): void {
    this.handle({ kind: "remove", job });
    if (!this.#fleet.records.has(job)) this.#outbox.forget(job);
  }

  /** Wakes it after everything that happens, until it is removed. */
  watch(wakeup: Wakeup): () => void {
    this.#watchers.add(wakeup);
    return () => this.#watchers.delete(wakeup);
  }

  stop(): void {
    clearInterval(this.#ticking);
    this.#happenings.length = 0;
    this.#handling = true;
    this.#isOver = true;
  }

  handle(happening: FleetHappening): void {
    this.#happenings.push(happening);
    // What a command leads to at once waits for the other commands of its event.
    if (this.#handling) return;
    this.#handling = true;
    try {
      for (let next = this.#happenings.shift(); next; next = this.#happenings.shift())
        this.#advance(next);
      this.#handling = false;
    } catch (error) {
      this.stop();
      this.#options.onFatal(error);
    }
    for (const watcher of this.#watchers) watcher.wake();
  }

  #advance(happening: FleetHappening): void {
    const event = { nowMs: performance.now(), wallMs: Date.now(), ...happening };
    const before = this.#fleet;
    const { fleet, commands } = advance(before, event);
    this.#fleet = fleet;
    this.#options.onAdvance?.(before, fleet, happening);
    for (const command of commands) this.#perform(command);
  }

  #perform(command: FleetCommand): void {
    switch (command.kind) {
      case "send":
      case "close":
        this.#outbox.add(command);
        return;
      case "record":
        this.#outbox.keep(command.record);
        return;
      case "log":
        this.#log(command);
        return;
      case "task-progress":
        this.#tasks.progress(command.taskId, command.done, command.total);
        return;
      case "task-done":
        this.#tasks.done(command.taskId, command.result);
        return;
      case "task-failed":
        this.#tasks.failed(command.taskId, command.cause, command.message);
        return;
      case "discard":
        void this.#discard(command);
        return;
    }
  }

  /** A coordinator after us must not know only of a checkpoint that is gone. */
  async #discard({ job, keep, step }: Extract<FleetCommand, { readonly kind: "discard" }>) {
    await this.#outbox.whenKept(job);
    this.#options.discard(job, keep, step);
  }

  #deliver(delivery: Delivery): void {
    const { incarnation } = delivery;
    if (delivery.kind === "close") this.#sessions.close(incarnation, delivery.reason);
    else this.#send(delivery);
  }

  /** What a worker would not take is no reason for it to end its stream, again and again: it fails, as if the worker had said so. */
  #send({ workerId, incarnation, command }: Extract<Delivery, { readonly kind: "send" }>): void {
    try {
      this.#sessions.send(this.#fleet.options.term, incarnation, command);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      const reason = error.message;
      this.#options.logger.error({ worker: workerId, command: command.kind, reason }, "not sent");
      const event = refusalOf(command, `no worker can be told to ${command.kind}: ${reason}`);
      const origin = this.#fleet.members.get(workerId)?.origin;
      if (event !== undefined && origin !== undefined)
        this.handle({ kind: "worker", workerId, incarnation, origin, event });
    }
  }

  #log(command: Extract<FleetCommand, { readonly kind: "log" }>): void {
    const { job, level, message, fields, said, event } = command;
    const line = { ...fields, ...(job !== "" && { job }), ...(said && { said }) };
    this.#options.logger[level](line, message);
    if (job === "") return;
    this.#options.memory.logs.append(job, {
      ...{ timeMs: Date.now(), level, message, fields: { ...said, ...fields } },
      ...(event !== undefined && { event }),
    });
  }

  #hear(workerId: string, incarnation: string, event: WorkerEvent, origin: Origin): void {
    if (event.kind === "hello" && event.term > this.#fleet.options.term) {
      void this.#raise(event);
      return;
    }
    // Past the outbox: what waits for a record must not make a worker believe that it is alone.
    if (event.kind === "beat" && !this.#isOver) {
      this.#sessions.send(this.#fleet.options.term, incarnation, { kind: "heard" });
    }
    if (event.kind === "log" && !this.#maySay(workerId, event.job)) return;
    this.handle({ kind: "worker", workerId, incarnation, origin, event });
  }

  /** What a worker says beyond what people could read is dropped, and counted. */
  #maySay(worker: string, job: string): boolean {
    const { isAllowed, dropped } = this.#rates.take(worker);
    if (dropped > 0) {
      const message = `dropped ${plural(dropped, "line")} of ${worker}: it says more than ${linesPerSecond} a second`;
      const isOfJob = this.#fleet.runs.get(job)?.participants.has(worker) === true;
      this.#log({ kind: "log", job: isOfJob ? job : "", level: "warn", message, fields: {} });
    }
    return isAllowed;
  }

  /**
   * A worker has obeyed a higher term than the lock ever saw: the records were lost, or we were replaced and do not know it yet.
   * With a term above it we begin anew, as after a restart, and the workers come back by themselves.
   */
  async #raise({ workerId, incarnation, term: seen }: Hello): Promise<void> {
    if (this.#raising) return;
    this.#raising = true;
    const { logger, onHigherTerm, onFatal } = this.#options;
    try {
      const raised = await onHigherTerm(seen);
      if ("refusal" in raised) {
        const { refusal } = raised;
        const message = `${workerId} is not believed, and its stream is closed: ${refusal}`;
        logger.error({ worker: workerId }, message);
        this.#sessions.close(incarnation, refusal);
        return;
      }
      const { term } = raised;
      logger.warn({ worker: workerId, seen, term }, "a worker has obeyed a higher term");
      const records = [...this.#fleet.records.values()];
      const { options, logged } = this.#fleet;
      this.#fleet = emptyFleet({ ...options, term }, records, logged, performance.now());
      this.#tasks.failAll("the coordinator had to begin anew; ask again");
      this.#sessions.closeAll(`the coordinator begins term ${term}`);
    } catch (error) {
      onFatal(error);
    } finally {
      this.#raising = false;
    }
  }
}

/** As a worker would refuse it; undefined: nothing waits for an answer. */
function refusalOf(command: WorkerCommand, message: string): WorkerEvent | undefined {
  if (command.kind === "task")
    return { kind: "task-failed", taskId: command.taskId, cause: "config", message };
  const place = command.kind === "prepare" ? command.order : command;
  if (!("job" in place && "attempt" in place)) return undefined;
  return { kind: "failed", job: place.job, attempt: place.attempt, cause: "config", message };
}
