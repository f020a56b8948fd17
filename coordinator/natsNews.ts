import type { Emptied } from "../src/link/jetstream.js";

export interface NatsListener {
  readonly onConnection: (isUp: boolean) => void;
  readonly onEmptied: (what: Emptied) => void;
}

/** What NATS tells of itself: kept for as long as nobody can act on it yet. */
export class NatsNews implements NatsListener {
  #listener: NatsListener | undefined;
  #isUp = true;
  #emptied: Emptied | undefined;

  readonly onConnection = (isUp: boolean): void => {
    this.#isUp = isUp;
    this.#listener?.onConnection(isUp);
  };

  readonly onEmptied = (what: Emptied): void => {
    const { jobs, logs } = this.#emptied ?? { jobs: false, logs: false };
    if (this.#listener) this.#listener.onEmptied(what);
    else this.#emptied = { jobs: jobs || what.jobs, logs: logs || what.logs };
  };

  /** What is gone by now was never read, and so is not missed: a standby's predecessor has written it again. */
  forgetEmptied(): void {
    this.#emptied = undefined;
  }

  /** Tells at once what is still so. */
  listen(listener: NatsListener): void {
    this.#listener = listener;
    if (!this.#isUp) listener.onConnection(false);
    if (this.#emptied) listener.onEmptied(this.#emptied);
  }
}
