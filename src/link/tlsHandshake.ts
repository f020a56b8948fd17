/** A client's side of TLS on a socket that stands, with a sentence for whatever goes wrong. */
import type { Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";

import { ConfigError, FailureError } from "../job/problem.js";
import { day, described, readTls, type TlsFiles } from "../process/certificates.js";

/** What a TLS server sends to a client that speaks no TLS is no longer than this; a server's greeting is. */
export const alertBytes = 7;

export interface Handshake {
  /** Whom the server's certificate has to name. */
  readonly host: string;
  readonly files: TlsFiles;
  readonly protocols: readonly string[];
  /** What names a CA, and a client's certificate with its key. */
  readonly settings: { readonly ca: string; readonly certificate: string };
  /** Takes whatever certificate the server shows. */
  readonly anyServer?: boolean;
  /** Told what comes after: a server that takes no certificate of ours says so only then, if at all. */
  readonly onTrouble: (sentence: string) => void;
}

/** FailureError, ConfigError: why there is no TLS. The files are read each time, so that renewed ones count at once. */
export function secured(socket: Socket, options: Handshake): Promise<TLSSocket> {
  const { host, files, onTrouble } = options;
  const { certificate, key, ca } = readTls(files);
  if (certificate !== undefined) checkOwn(certificate, files.certificate ?? "");
  return new Promise((resolve, reject) => {
    const secure = connect({
      socket,
      ...{ cert: certificate, key, ca },
      host,
      servername: /^[\d.]+$|:/.test(host) ? "" : host,
      ...(options.protocols.length === 0 ? {} : { ALPNProtocols: [...options.protocols] }),
      // Looked at below, before anything is sent: only so can the certificate be named that is refused.
      rejectUnauthorized: false,
    });
    secure.once("secureConnect", () => {
      const isTrusted = secure.authorized || options.anyServer === true;
      const problem = isTrusted ? undefined : unauthorized(secure, options);
      if (problem === undefined) resolve(secure);
      else reject(new FailureError(problem));
    });
    secure.once("close", () => {
      reject(new FailureError("it hangs up: it may speak no TLS"));
      const isTrusted = secure.authorized || options.anyServer === true;
      if (isTrusted && secure.bytesRead <= alertBytes) onTrouble(unwelcome(options));
    });
    secure.on("error", (error: Error) => {
      const trouble = alerted(error, options);
      onTrouble(trouble);
      reject(new FailureError(trouble));
    });
  });
}

function checkOwn(certificate: Buffer, file: string): void {
  const { subject, validToMs } = described(certificate);
  if (validToMs <= Date.now())
    throw new ConfigError(
      `this client's certificate of ${subject} in ${file} expired on ${day(validToMs)}`,
    );
}

function unauthorized(socket: TLSSocket, { host, files: { ca }, settings }: Handshake): string {
  // A string, against what the types say.
  const code = String(socket.authorizationError);
  const peer = socket.getPeerX509Certificate();
  const subject = peer?.subject.replaceAll("\n", ", ") ?? "?";
  if (code === "CERT_HAS_EXPIRED")
    return `its certificate of ${subject} expired on ${day(Date.parse(peer?.validTo ?? ""))}`;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID" || code.includes("altname"))
    return `its certificate of ${subject} is not one for ${host}`;
  const trusted = ca === undefined ? `${settings.ca} names one` : `it is none of ${ca}`;
  return `its certificate of ${subject} is signed by no CA that is trusted here: ${trusted} (${code})`;
}

function alerted(error: Error, options: Handshake): string {
  const code = "code" in error ? String(error.code) : "";
  if (code.includes("ALERT") || code === "ECONNRESET" || code === "EPIPE")
    return unwelcome(options);
  if (code === "ERR_SSL_WRONG_VERSION_NUMBER" || code === "ERR_SSL_PACKET_LENGTH_TOO_LONG")
    return "it speaks no TLS";
  return `TLS failed: ${error.message}`;
}

function unwelcome({ files: { certificate }, settings }: Handshake): string {
  return certificate === undefined
    ? `it wants a client certificate: ${settings.certificate} name one`
    : `it does not accept the client certificate in ${certificate}: another CA may have signed it`;
}
