/**
 * A TCP proxy that harms what goes through it, for each direction apart. It behaves as a bad network does: what a cut holds up
 * is not lost but comes later, as TCP would send it again, and neither end learns of the other's close while it lasts.
 */
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export type Direction = "toServer" | "toClient";

/** What is done to one direction; nothing given, bytes pass as they come. */
export interface Harm {
  /** Nothing gets through. */
  readonly cut?: boolean;
  /** Every byte comes so much later. */
  readonly delayMs?: number;
  readonly bytesPerSecond?: number;
}

/** What may wait in a direction of one connection; then the sender is held back. */
const waitingBytesMax = 256 * 1024;

export class FaultProxy {
  readonly #server: Server;
  readonly #target: Endpoint;
  readonly #lanes = { toServer: new Lane(), toClient: new Lane() };
  readonly #sockets = new Set<Socket>();

  /** Port 0 takes any. */
  static async listen(at: Endpoint, target: Endpoint): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    proxy.#server.listen(at.port, at.host);
    await once(proxy.#server, "listening");
    return proxy;
  }

  private constructor(target: Endpoint) {
    this.#target = target;
    // Half-open connections are what this is for, so an end is handed on by us, not by node.
    this.#server = createServer({ allowHalfOpen: true }, (client) => void this.#serve(client));
  }

  get port(): number {
    const address: AddressInfo | string | null = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  harm(direction: Direction, harm: Harm): void {
    this.#lanes[direction].set(harm);
  }

  heal(): void {
    this.harm("toServer", {});
    this.harm("toClient", {});
  }

  /** Ends every connection with a RST towards both ends. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    this.heal();
    await closed;
  }

  async #serve(client: Socket): Promise<void> {
    this.#keep(client);
    // The handshake needs both directions: while one is cut, the client's attempt hangs.
    await this.#lanes.toServer.open();
    await this.#lanes.toClient.open();
    if (client.destroyed) return;
    const server = connect({ ...this.#target, allowHalfOpen: true });
    this.#keep(server);
    const { toServer, toClient } = this.#lanes;
    void relay({ from: client, to: server, lane: toServer, back: toClient });
    void relay({ from: server, to: client, lane: toClient, back: toServer });
  }

  #keep(socket: Socket): void {
    socket.setNoDelay(true);
    this.#sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => this.#sockets.delete(socket));
  }
}

/** What is done to a direction now, of all connections alike. */
class Lane {
  #harm: Harm = {};
  /** When the last byte that was let through will have passed, at the bandwidth given. */
  #busyUntilMs = 0;
  #opened: (() => void)[] = [];

  set(harm: Harm): void {
    this.#harm = harm;
    if (harm.cut === true) return;
    for (const resolve of this.#opened.splice(0)) resolve();
  }

  async open(): Promise<void> {
    while (this.#harm.cut === true) {
      await new Promise<void>((resolve) => this.#opened.push(resolve));
    }
  }

  /** Resolves when bytes that arrived at `atMs` may be handed on. */
  async pass(bytes: number, atMs: number): Promise<void> {
    await this.open();
    const { delayMs = 0, bytesPerSecond } = this.#harm;
    let dueMs = atMs + delayMs;
    if (bytesPerSecond !== undefined) {
      dueMs = Math.max(dueMs, this.#busyUntilMs) + (1000 * bytes) / bytesPerSecond;
      this.#busyUntilMs = dueMs;
    }
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    await this.open();
  }
}

interface Way {
  readonly from: Socket;
  readonly to: Socket;
  readonly lane: Lane;
  /** The other direction: the way on which `from` learns that `to` is gone. */
  readonly back: Lane;
}

/** Hands on one direction of one connection, and how it ended. */
async function relay({ from, to, lane, back }: Way): Promise<void> {
  const waiting: { readonly bytes: Buffer; readonly atMs: number }[] = [];
  let waitingBytes = 0;
  let ended = false;
  let wake = (): void => undefined;
  from.on("data", (bytes: Buffer) => {
    waiting.push({ bytes, atMs: performance.now() });
    waitingBytes += bytes.length;
    if (waitingBytes > waitingBytesMax) from.pause();
    wake();
  });
  const end = (): void => {
    ended = true;
    wake();
  };
  from.once("end", end);
  from.once("close", end);
  to.once("close", end);
  to.on("drain", () => wake());

  while (!to.destroyed) {
    const next = to.writableNeedDrain ? undefined : waiting.shift();
    if (next === undefined) {
      if (isTrue(ended) && waiting.length === 0) break;
      await new Promise<void>((resolve) => (wake = resolve));
      continue;
    }
    await lane.pass(next.bytes.length, next.atMs);
    waitingBytes -= next.bytes.length;
    if (waitingBytes <= waitingBytesMax) from.resume();
    if (!isTrue(to.destroyed)) to.write(next.bytes);
  }
  if (to.destroyed) {
    await back.open();
    from.resetAndDestroy();
    return;
  }
  await lane.open();
  if (from.errored === null) to.end();
  else to.resetAndDestroy();
}

/** A call, since the compiler does not see that a listener changes the flag. */
function isTrue(flag: boolean): boolean {
  return flag;
}
