import { setImmediate as turn } from "node:timers/promises";
import { Events, type NatsConnection, type Status } from "nats";

import { assert, FailureError } from "../job/problem.js";
import { chunkElementsOf, isAddress } from "../wire/frame.js";
import type { FrameLink, LinkHandlers } from "./frameLink.js";
import { dialNats, natsReason, natsTrouble, watchTls, type NatsTarget } from "./natsConnection.js";
import { framesOf } from "./natsRights.js";

/** A half-open link is noticed after about 2 s. */
const pingMs = 700;
const probeIntervalMs = 500;
const firstConnectMs = 10_000;
const nothing = new Uint8Array(0);

export interface NatsFramesOptions extends LinkHandlers, NatsTarget {
  /** Made from the incarnation; letters, digits and hyphens. */
  readonly address: string;
  /** How long a server may take to appear at the start. Later the link waits for ever. */
  readonly firstConnectMs?: number;
}

/**
 * Connects to a NATS server and listens for frames at `bitfleet.x.<address>`. Rejects with a
 * FailureError that says what is wrong; once connected, it reconnects for ever.
 */
export async function connectFrames(options: NatsFramesOptions): Promise<FrameLink> {
  assert(isAddress(options.address), `address ${JSON.stringify(options.address)}`);
  const connection = await dialNats({
    ...options,
    name: `bitfleet ${options.address}`,
    pingMs,
    withinMs: options.firstConnectMs ?? firstConnectMs,
  });
  const link = new NatsFrameLink(connection, options);
  const problem = await link.whyUseless();
  if (problem === undefined) return link;
  await link.close();
  throw new FailureError(problem);
}

class NatsFrameLink implements FrameLink {
  readonly #connection: NatsConnection;
  readonly #options: NatsFramesOptions;
  readonly #probe: NodeJS.Timeout;
  #frameBytesMax: number;
  #isConnected = true;
  #isClosing = false;
  /** What the server does not let us do, though frames cannot go without it. */
  #denied: string | undefined;
  #told: string | undefined;
  #answeredAtMs = performance.now();
  #probing = false;
  /** Called when the connection is cut: nats.js may never settle a flush that a cut overtakes. */
  readonly #onCut = new Set<() => void>();

  constructor(connection: NatsConnection, options: NatsFramesOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#frameBytesMax = connection.info?.max_payload ?? 0;
    connection.subscribe(framesOf(options.address), {
      callback: (error, { data }) => {
        if (error !== null) this.#deny(natsReason(error, options));
        else if (data.length > 0) options.onFrame(data);
      },
    });
    this.#probe = setInterval(() => {
      if (this.#isConnected && !this.#probing) void this.#measure();
    }, probeIntervalMs);
    this.#probe.unref();
    void this.#follow();
    void watchTls(connection, options, (sentence) => this.#tell(sentence));
    void connection.closed().then((error) => {
      this.#cut();
      clearInterval(this.#probe);
      if (this.#isClosing) return;
      const reason = this.#denied ?? error?.message ?? "NATS connection closed";
      options.onStatus({ kind: "closed", reason });
    });
  }

  /** Sends itself an empty message, which is no frame, so that a missing right is known before anybody waits for frames. */
  async whyUseless(): Promise<string | undefined> {
    const { url, address } = this.#options;
    if (chunkElementsOf(this.frameBytesMax) === 0)
      return (
        `the NATS server at ${url} lets ${this.frameBytesMax} bytes through, ` +
        "which is less than a frame: raise its max_payload"
      );
    this.#connection.publish(framesOf(address), nothing);
    // What the server has against it comes before the answer to this.
    await this.flush();
    await turn();
    return this.#denied;
  }

  get frameBytesMax(): number {
    // While it reconnects, nats.js does not know.
    this.#frameBytesMax = this.#connection.info?.max_payload ?? this.#frameBytesMax;
    return this.#frameBytesMax;
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  send(to: string, frame: Uint8Array): void {
    // nats.js would keep it, and lose it when it reconnects.
    if (!this.#isConnected) return;
    if (frame.length > this.frameBytesMax) {
      const message = `a frame of ${frame.length} bytes, but NATS now takes ${this.frameBytesMax}`;
      this.#options.onStatus({ kind: "error", message });
      return;
    }
    this.#connection.publish(framesOf(to), frame);
  }

  async flush(): Promise<void> {
    if (!this.#isConnected) return;
    let cut = (): void => undefined;
    const isCut = new Promise<void>((resolve) => {
      cut = resolve;
      this.#onCut.add(cut);
    });
    const isFlushed = this.#connection.flush().then(
      () => {
        this.#answeredAtMs = performance.now();
      },
      () => undefined, // The connection was lost, which is a status of its own.
    );
    await Promise.race([isFlushed, isCut]);
    this.#onCut.delete(cut);
  }

  roundTripAgeMs(): number {
    return performance.now() - this.#answeredAtMs;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    await this.#connection.close();
  }

  async #measure(): Promise<void> {
    this.#probing = true;
    await this.flush();
    this.#probing = false;
  }

  async #follow(): Promise<void> {
    for await (const status of this.#connection.status()) this.#take(status);
  }

  #take(status: Status): void {
    const trouble = natsTrouble(status, this.#options);
    if (trouble?.kind === "denied") this.#deny(trouble.sentence);
    else if (trouble !== undefined) this.#tell(trouble.sentence);
    if (status.type === Events.Disconnect && this.#isConnected) {
      this.#cut();
      this.#options.onStatus({ kind: "disconnected" });
    }
    if (status.type === Events.Reconnect) {
      this.#isConnected = true;
      this.#answeredAtMs = performance.now();
      this.#told = undefined;
      this.#options.onStatus({ kind: "reconnected" });
    }
  }

  /** Once, as every attempt to connect would say it. */
  #tell(message: string): void {
    if (message === this.#told) return;
    this.#told = message;
    this.#options.onStatus({ kind: "error", message });
  }

  /** Without the right to send or to hear, others would wait for us in vain. */
  #deny(sentence: string): void {
    if (this.#denied !== undefined) return;
    this.#denied = sentence;
    void this.#connection.close();
  }

  #cut(): void {
    this.#isConnected = false;
    for (const cut of this.#onCut) cut();
    this.#onCut.clear();
  }
}
