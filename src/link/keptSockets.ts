/** Connections that can be torn down at once, whatever is still on its way, and that say why they came to nothing. */
import type { Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { ChannelCredentials, credentials } from "@grpc/grpc-js";

import { ConfigError, FailureError } from "../job/problem.js";
import { day, described, readTls, type TlsFiles } from "../process/certificates.js";

type Connector = ReturnType<ChannelCredentials["_createSecureConnector"]>;

/** What a TLS server sends to a client that speaks no TLS is no longer than this; a gRPC server's settings are. */
const alertBytes = 7;

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
      return await this.#handshake(socket, files);
    } catch (error) {
      socket.destroy();
      this.#trouble = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }

  #handshake(socket: Socket, files: TlsFiles): Promise<TLSSocket> {
    const { certificate, key, ca } = readTls(files);
    if (certificate !== undefined) checkOwn(certificate, files.certificate ?? "");
    return new Promise((resolve, reject) => {
      const secure = connectTls({
        socket,
        ...{ cert: certificate, key, ca },
        host: this.#host,
        servername: /^[\d.]+$|:/.test(this.#host) ? "" : this.#host,
        ALPNProtocols: ["h2"],
        // Looked at below, before anything is sent: only so can the certificate be named that is refused.
        rejectUnauthorized: false,
      });
      secure.once("secureConnect", () => {
        const problem = secure.authorized ? undefined : unauthorized(secure, this.#host);
        if (problem === undefined) resolve(secure);
        else reject(new FailureError(problem));
      });
      secure.once("close", () => {
        reject(new FailureError("it hangs up: it may speak no TLS"));
        // A server that takes no certificate of ours says so only now, if at all.
        if (secure.authorized && secure.bytesRead <= alertBytes) this.#trouble ??= unwelcome(files);
      });
      secure.on("error", (error: Error) => {
        this.#trouble = alerted(error, files);
        reject(new FailureError(this.#trouble));
      });
    });
  }
}

function checkOwn(certificate: Buffer, file: string): void {
  const { subject, validToMs } = described(certificate);
  if (validToMs <= Date.now())
    throw new ConfigError(
      `this client's certificate of ${subject} in ${file} expired on ${day(validToMs)}`,
    );
}

function unauthorized(socket: TLSSocket, host: string): string {
  // A string, against what the types say.
  const code = String(socket.authorizationError);
  const peer = socket.getPeerX509Certificate();
  const subject = peer?.subject.replaceAll("\n", ", ") ?? "?";
  if (code === "CERT_HAS_EXPIRED")
    return `its certificate of ${subject} expired on ${day(Date.parse(peer?.validTo ?? ""))}`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code.includes("altname"))
    return `its certificate of ${subject} is not one for ${host}`;
  return `its certificate of ${subject} is signed by no CA that is trusted here (${code})`;
}

function alerted(error: Error, files: TlsFiles): string {
  const code = "code" in error ? String(error.code) : "";
  if (code.includes("ALERT") || code === "ECONNRESET" || code === "EPIPE") return unwelcome(files);
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG")
    return "it speaks no TLS";
  return `TLS failed: ${error.message}`;
}

function unwelcome({ certificate }: TlsFiles): string {
  return certificate === undefined
    ? "it wants a client certificate: --tls-cert and --tls-key name one"
    : `it does not accept the client certificate in ${certificate}: another CA may have signed it`;
}
