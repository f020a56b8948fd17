/** Connections that can be torn down at once, whatever is still on its way. */
import type { Socket } from "node:net";
import { ChannelCredentials, credentials } from "@grpc/grpc-js";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/**
 * Plain connections of one channel. Closing a channel ends its connection in order, which over a
 * half-open link never comes to an end; grpc-js lets only credentials see the socket itself.
 */
export class KeptSockets extends ChannelCredentials {
  readonly #plain = credentials.createInsecure();
  readonly #sockets = new Set<Socket>();

  override _isSecure(): boolean {
    return false;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...place: Parameters<ChannelCredentials["_createSecureConnector"]>
  ): Connector {
    const connector = this.#plain._createSecureConnector(...place);
    return {
      connect: (socket) => {
        this.#sockets.add(socket);
        socket.once("close", () => this.#sockets.delete(socket));
        return connector.connect(socket);
      },
      waitForReady: () => connector.waitForReady(),
      getCallCredentials: () => connector.getCallCredentials(),
      destroy: () => connector.destroy(),
    };
  }

  /** Cuts them off; what was written and not sent is lost. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
