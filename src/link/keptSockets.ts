/** Connections that can be torn down at once, whatever is still on its way, and that say why they came to nothing. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { ChannelCredentials, credentials } from "@grpc/grpc-js";

import { reasonOf } from "../job/problem.js";
import type { TlsFiles } from "../process/certificates.js";
import { alertBytes, secured } from "./tlsHandshake.js";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/**
 * Connections of one channel. Closing a channel ends its connection in order, which over a
 * half-open link never comes to an end; grpc-js lets only credentials see the socket itself.
 * With TLS the files are read for every connection, so that a certificate is renewed without a restart.
 */
export class KeptSockets extends ChannelCredentials {
  readonly #plain = credentials.createInsecure();
  readonly #sockets = new Set<Socket>();
  readonly #host: string;
  readonly #tls: TlsFiles | undefined;
  #trouble: string | undefined;

  constructor(host: string, tls: TlsFiles | undefined) {
    super();
    this.#host = host;
    this.#tls = tls;
  }

  /** Why the last connection came to nothing, where that is known. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  override _isSecure(): boolean {
    return this.#tls !== undefined;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...place: Parameters<ChannelCredentials["_createSecureConnector"]>
  ): Connector {
    const connector = this.#plain._createSecureConnector(...place);
    return {
      connect: async (socket) => {
        this.#trouble = undefined;
        this.#sockets.add(socket);
        socket.once("close", () => {
          this.#sockets.delete(socket);
          if (this.#tls === undefined && socket.bytesRead <= alertBytes)
            this.#trouble = "it hangs up on a client without TLS: it may want --tls-ca";
        });
        if (this.#tls === undefined) return connector.connect(socket);
        return { socket: await this.#secure(socket, this.#tls), secure: true };
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

  async #secure(socket: Socket, files: TlsFiles): Promise<TLSSocket> {
    try {
      const onTrouble = (trouble: string): void => void (this.#trouble ??= trouble);
      return await secured(socket, {
        ...{ host: this.#host, files, protocols: ["h2"], onTrouble },
        settings: { ca: "--tls-ca", certificate: "--tls-cert and --tls-key" },
      });
    } catch (error) {
      socket.destroy();
      this.#trouble = reasonOf(error);
      throw error;
    }
  }
}
