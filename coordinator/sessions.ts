import type { Origin } from "../src/control/fleetEvent.js";
import type { WorkerCommand, WorkerEvent } from "../src/control/message.js";
import type { WorkerSession } from "../src/link/service.js";

export interface SessionsOptions {
  readonly onEvent: (
    workerId: string,
    incarnation: string,
    event: WorkerEvent,
    origin: Origin,
  ) => void;
  readonly onDisconnected: (workerId: string, incarnation: string) => void;
}

interface Known {
  readonly workerId: string;
  readonly incarnation: string;
  readonly session: WorkerSession;
}

/** A stream that has not said who it is by then is ended. */
const helloMs = 10_000;

/**
 * The open streams of workers. A stream begins with `hello`; of two streams of one incarnation only the newer is heard, and
 * the end of the older is not passed on.
 */
export class Sessions {
  readonly #options: SessionsOptions;
  /** By incarnation. */
  readonly #known = new Map<string, Known>();
  readonly #all = new Set<WorkerSession>();

  constructor(options: SessionsOptions) {
    this.#options = options;
  }

  attach(session: WorkerSession): void {
    this.#all.add(session);
    let known: Known | undefined;
    const timer = setTimeout(() => session.close("no hello came"), helloMs);
    session.onClosed(() => {
      clearTimeout(timer);
      this.#all.delete(session);
      if (known === undefined || !this.#isCurrent(known)) return;
      this.#known.delete(known.incarnation);
      this.#options.onDisconnected(known.workerId, known.incarnation);
    });
    session.onEvent((event) => {
      if ((event.kind === "hello") !== (known === undefined)) {
        session.close("a stream begins with hello, and has only one");
        return;
      }
      if (event.kind === "hello") {
        clearTimeout(timer);
        known = { workerId: event.workerId, incarnation: event.incarnation, session };
        const older = this.#known.get(known.incarnation);
        this.#known.set(known.incarnation, known);
        older?.session.close("the worker has opened a newer stream");
      }
      if (known === undefined || !this.#isCurrent(known)) return;
      this.#options.onEvent(known.workerId, known.incarnation, event, session.origin);
    });
  }

  /** Dropped when that stream is gone. */
  send(term: number, incarnation: string, command: WorkerCommand): void {
    this.#known.get(incarnation)?.session.send(term, command);
  }

  close(incarnation: string, reason: string): void {
    this.#known.get(incarnation)?.session.close(reason);
  }

  closeAll(reason: string): void {
    for (const session of this.#all) session.close(reason);
  }

  #isCurrent(known: Known): boolean {
    return this.#known.get(known.incarnation) === known;
  }
}
