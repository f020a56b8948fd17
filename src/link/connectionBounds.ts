/** Accepts connections for a gRPC server, and no more than it can bear: a flood of them leaves room for others. */
import { createServer, type Server as Listener, type Socket } from "node:net";
import type { Server, ServerCredentials } from "@grpc/grpc-js";

export interface ConnectionBounds {
  readonly connections: number;
  /** Of one remote address. */
  readonly perAddress: number;
}

/** A worker and a client have one each. */
export const connectionBounds: ConnectionBounds = { connections: 4096, perAddress: 2048 };

/** Rejects with what `listen` says. */
export async function listenBounded(
  server: Server,
  credentials: ServerCredentials,
  { host, port }: { readonly host: string; readonly port: number },
  bounds = connectionBounds,
): Promise<{ readonly port: number; readonly close: () => void }> {
  const injector = server.createConnectionInjector(credentials);
  const open = new Map<string, number>();
  const listener = createServer({ noDelay: true }, (socket) => {
    if (isTooMany(open, socket, bounds.perAddress)) socket.destroy();
    else injector.injectConnection(socket);
  });
  listener.maxConnections = bounds.connections;
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(port, host, resolve);
  });
  return { port: portOf(listener, port), close: () => listener.close() };
}

/** Counts the connection until it is closed. */
function isTooMany(open: Map<string, number>, socket: Socket, perAddress: number): boolean {
  const address = socket.remoteAddress ?? "";
  const count = open.get(address) ?? 0;
  if (count >= perAddress) return true;
  open.set(address, count + 1);
  socket.once("close", () => {
    const left = (open.get(address) ?? 1) - 1;
    if (left > 0) open.set(address, left);
    else open.delete(address);
  });
  return false;
}

function portOf(listener: Listener, port: number): number {
  const address = listener.address();
  return typeof address === "object" && address !== null ? address.port : port;
}
