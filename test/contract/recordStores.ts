import { afterEach, beforeEach } from "vitest";

import {
  openRecords,
  type RecordStore,
  type RecordStoreOptions,
} from "../../src/link/jetstream.js";
import { NatsProcess } from "./natsProcess.js";

/** A nats-server of a test's own, and the record stores that were opened on it. */
export class RecordStores {
  readonly server: NatsProcess;
  /** Aborted when the test ends. */
  readonly stop = new AbortController();
  readonly #opened: RecordStore[] = [];

  constructor(server: NatsProcess) {
    this.server = server;
  }

  async open(onEmptied?: RecordStoreOptions["onEmptied"]): Promise<RecordStore> {
    const options = onEmptied === undefined ? {} : { onEmptied };
    const store = await openRecords({ url: this.server.url }, options);
    this.#opened.push(store);
    return store;
  }

  async remove(): Promise<void> {
    this.stop.abort();
    for (const store of this.#opened) await store.close();
    await this.server.remove();
  }
}

/** Gives every test of the file stores of its own, and clears them away when it ends. */
export function eachWithRecordStores(use: (stores: RecordStores) => void): void {
  let stores: RecordStores | undefined;
  beforeEach(async () => {
    stores = new RecordStores(await NatsProcess.start());
    use(stores);
  });
  afterEach(async () => {
    await stores?.remove();
    stores = undefined;
  });
}
