/** Accepts connections for a gRPC server, and no more than it can bear: a flood of them leaves room for others. */
import { createServer, type Server as Listener } from "node:net";
import type { Server, ServerCredentials } from "@grpc/grpc-js";
import type { ConnectionPlaces, PlaceBounds } from "../process/connectionPlaces.js";

export interface ConnectionBounds extends PlaceBounds {
  /** Those of strangers are among them. */
  readonly connections: number;
}

/** A worker and a client have one each. All workers come at once after a restart, strangers until they have said their token. */
export const connectionBounds: ConnectionBounds = {
  connections: 4096,
  perAddress: 2048,
  strangers: 2048,
  silentMs: 15_000,
};

/** Rejects with what `listen` says. */
export async function listenBounded(
  server: Server,
  credentials: ServerCredentials,
  { host, port }: { readonly host: string; readonly port: number },
  { places, connections }: { readonly places: ConnectionPlaces; readonly connections: number },
): Promise<{ readonly port: number; readonly close: () => void }> {
  const injector = server.createConnectionInjector(credentials);
  const listener = createServer({ noDelay: true }, (socket) => {
    places.enter(socket);
    if (!socket.destroyed) injector.injectConnection(socket);
  });
  listener.maxConnections = connections;
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(port, host, resolve);
  });
  return { port: portOf(listener, port), close: () => listener.close() };
}

function portOf(listener: Listener, port: number): number {
  const address = listener.address();
  return typeof address === "object" && address !== null ? address.port : port;
}
