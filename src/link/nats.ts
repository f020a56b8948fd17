import { connect, Events, NatsError, type NatsConnection, type Status } from "nats";
import { setTimeout as delay } from "node:timers/promises";
import { assert, FailureError } from "../job/problem.js";
import { chunkElementsOf, isAddress } from "../wire/frame.js";
import type { FrameLink, LinkHandlers } from "./frameLink.js";

/** Two pings unanswered and a third due: a half-open link is noticed after about 2 s. */
const pingIntervalMs = 700;
const maxPingOut = 2;
const reconnectWaitMs = 250;
const probeIntervalMs = 500;
const dialTimeoutMs = 2000;

export interface NatsFramesOptions extends LinkHandlers {
  readonly url: string;
  readonly token?: string;
  readonly user?: string;
  readonly password?: string;
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
  const connection = await firstConnection(options);
  const link = new NatsFrameLink(connection, options);
  if (chunkElementsOf(link.frameBytesMax) === 0) {
    await link.close();
    throw new FailureError(
      `the NATS server at ${options.url} lets ${link.frameBytesMax} bytes through, ` +
        "which is less than a frame: raise its max_payload",
    );
  }
  return link;
}

class NatsFrameLink implements FrameLink {
  readonly #connection: NatsConnection;
  readonly #handlers: LinkHandlers;
  readonly #probe: NodeJS.Timeout;
  #frameBytesMax: number;
  #isConnected = true;
  #isClosing = false;
  #answeredAtMs = performance.now();
  #probing = false;
  /** Called when the connection is cut: nats.js may never settle a flush that a cut overtakes. */
  readonly #onCut = new Set<() => void>();

  constructor(connection: NatsConnection, { address, ...handlers }: NatsFramesOptions) {
    this.#connection = connection;
    this.#handlers = handlers;
    this.#frameBytesMax = connection.info?.max_payload ?? 0;
    connection.subscribe(subjectOf(address), {
      callback: (error, message) => {
        if (error === null) handlers.onFrame(message.data);
        else handlers.onStatus({ kind: "error", message: error.message });
      },
    });
    this.#probe = setInterval(() => {
      if (this.#isConnected && !this.#probing) void this.#measure();
    }, probeIntervalMs);
    this.#probe.unref();
    void this.#follow();
    void connection.closed().then((error) => {
      this.#cut();
      clearInterval(this.#probe);
      if (this.#isClosing) return;
      handlers.onStatus({ kind: "closed", reason: error?.message ?? "NATS connection closed" });
    });
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
      this.#handlers.onStatus({ kind: "error", message });
      return;
    }
    this.#connection.publish(subjectOf(to), frame);
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

  #take({ type, data }: Status): void {
    switch (type) {
      case Events.Disconnect:
        this.#cut();
        this.#handlers.onStatus({ kind: "disconnected" });
        break;
      case Events.Reconnect:
        this.#isConnected = true;
        this.#answeredAtMs = performance.now();
        this.#handlers.onStatus({ kind: "reconnected" });
        break;
      case Events.Error:
        this.#handlers.onStatus({ kind: "error", message: JSON.stringify(data) });
        break;
      default: // Pings and cluster updates.
    }
  }

  #cut(): void {
    this.#isConnected = false;
    for (const cut of this.#onCut) cut();
    this.#onCut.clear();
  }
}

async function firstConnection(options: NatsFramesOptions): Promise<NatsConnection> {
  const deadlineMs = performance.now() + (options.firstConnectMs ?? 10_000);
  for (;;) {
    try {
      return await connect({
        servers: options.url,
        ...(options.token === undefined ? {} : { token: options.token }),
        ...(options.user === undefined ? {} : { user: options.user }),
        ...(options.password === undefined ? {} : { pass: options.password }),
        name: `bitfleet ${options.address}`,
        timeout: dialTimeoutMs,
        reconnect: true,
        maxReconnectAttempts: -1,
        reconnectTimeWait: reconnectWaitMs,
        reconnectJitter: 100,
        ignoreAuthErrorAbort: true,
        pingInterval: pingIntervalMs,
        maxPingOut,
        noAsyncTraces: true,
      });
    } catch (error) {
      const isRefused = error instanceof NatsError && error.isAuthError();
      if (isRefused) {
        const message = `the NATS server at ${options.url} refuses the token or password`;
        throw new FailureError(message, { cause: error });
      }
      if (performance.now() >= deadlineMs) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new FailureError(`no NATS server at ${options.url} (${reason})`, { cause: error });
      }
    }
    await delay(reconnectWaitMs);
  }
}

function subjectOf(address: string): string {
  return `bitfleet.x.${address}`;
}
