import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { once } from "node:events";

interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  /** Set once nothing passes any more, in that direction. */
  toServer: boolean;
  toClient: boolean;
}

/**
 * A TCP proxy in which a direction of the connections that stand falls silent for good: no bytes, no
 * end, as when a firewall has forgotten them. New connections pass.
 */
export class BlackHole {
  readonly #server: Server;
  readonly #pairs = new Set<Pair>();

  private constructor(port: number) {
    this.#server = createServer({ allowHalfOpen: true }, (client) => {
      const server = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      const pair: Pair = { client, server, toServer: false, toClient: false };
      this.#pairs.add(pair);
      this.#pass(pair, "toServer", client, server);
      this.#pass(pair, "toClient", server, client);
    });
  }

  static async before(port: number): Promise<BlackHole> {
    const proxy = new BlackHole(port);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    const address: AddressInfo | string | null = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** Connections whose client has not closed its end. */
  get open(): number {
    return [...this.#pairs].filter(({ client }) => !client.readableEnded && !client.destroyed)
      .length;
  }

  mute(direction: "toServer" | "toClient"): void {
    for (const pair of this.#pairs) pair[direction] = true;
  }

  close(): void {
    this.#server.close();
    for (const { client, server } of this.#pairs) {
      client.destroy();
      server.destroy();
    }
  }

  #pass(pair: Pair, direction: "toServer" | "toClient", from: Socket, to: Socket): void {
    from.setNoDelay(true);
    from.on("data", (bytes) => {
      if (!pair[direction]) to.write(bytes);
    });
    from.on("end", () => {
      if (!pair[direction]) to.end();
    });
    from.on("error", () => undefined);
    from.on("close", () => {
      if (!pair[direction]) to.destroy();
    });
  }
}
