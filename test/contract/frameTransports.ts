import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { FrameLink, LinkHandlers } from "../../src/link/frameLink.js";
import { connectFrames } from "../../src/link/nats.js";
import { findNatsServer, startNatsServer } from "../../src/link/natsServer.js";

/** Something that carries frames, and that a test can cut and join again. */
export interface Transport {
  readonly connect: (address: string, handlers: LinkHandlers) => Promise<FrameLink>;
  readonly cut: () => Promise<void>;
  readonly join: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export async function natsBinary(): Promise<string> {
  return findNatsServer(process.env, "node_modules/.bitfleet/toolchain.json");
}

export async function openNats(maxPayloadBytes?: number): Promise<Transport> {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-frames-"));
  const options = { binary: await natsBinary(), folder };
  const sized = maxPayloadBytes === undefined ? options : { ...options, maxPayloadBytes };
  let server = await startNatsServer(sized);
  const { port, url } = server;
  const links: FrameLink[] = [];
  return {
    connect: async (address, handlers) => {
      const link = await connectFrames({ ...handlers, url, address });
      links.push(link);
      return link;
    },
    cut: () => server.stop(),
    join: async () => {
      server = await startNatsServer({ ...sized, port });
    },
    close: async () => {
      for (const link of links) await link.close();
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}

/** The same promises kept in memory, for tests that need no server. */
export function openMemory(frameBytesMax = 1_048_576): Promise<Transport> {
  const listeners = new Map<string, LinkHandlers>();
  let isUp = true;
  const connectMemory = (address: string, handlers: LinkHandlers): Promise<FrameLink> => {
    listeners.set(address, handlers);
    const link: FrameLink = {
      frameBytesMax,
      get isConnected() {
        return isUp;
      },
      send: (to, frame) => {
        if (!isUp) return;
        if (frame.length > frameBytesMax) {
          handlers.onStatus({ kind: "error", message: `a frame of ${frame.length} bytes` });
          return;
        }
        const copy = frame.slice();
        setImmediate(() => {
          if (isUp) listeners.get(to)?.onFrame(copy);
        });
      },
      flush: () => new Promise((resolve) => setImmediate(resolve)),
      roundTripAgeMs: () => 0,
      close: () => {
        listeners.delete(address);
        return Promise.resolve();
      },
    };
    return Promise.resolve(link);
  };
  const tell = (kind: "disconnected" | "reconnected"): Promise<void> => {
    isUp = kind === "reconnected";
    for (const handlers of listeners.values()) handlers.onStatus({ kind });
    return Promise.resolve();
  };
  return Promise.resolve({
    connect: connectMemory,
    cut: () => tell("disconnected"),
    join: () => tell("reconnected"),
    close: () => {
      listeners.clear();
      return Promise.resolve();
    },
  });
}

/** A way to a port that can stop carrying bytes without closing: a half-open link. */
export async function openProxy(toPort: number): Promise<{
  readonly port: number;
  readonly freeze: () => void;
  readonly close: () => void;
}> {
  const sockets: Socket[] = [];
  let isFrozen = false;
  const server = createServer((near) => {
    const far = connect(toPort, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.push(from);
      from.on("error", () => undefined);
      from.on("data", (bytes) => {
        if (!isFrozen) to.write(bytes);
      });
      from.on("close", () => {
        if (!isFrozen) to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    freeze: () => {
      isFrozen = true;
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Waits until the condition holds; throws after `withinMs`. */
export async function until(
  what: string,
  condition: () => boolean,
  withinMs = 10_000,
): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await delay(5);
  }
}
