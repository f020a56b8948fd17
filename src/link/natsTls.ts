/** TLS towards NATS: the options of the client library, and why a connection with them does not come about. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { TlsOptions } from "nats";

import { reasonOf } from "../job/problem.js";
import type { TlsFiles } from "../process/certificates.js";
import { secured } from "./tlsHandshake.js";

export interface NatsTls {
  readonly files: TlsFiles;
  /** A server that this very process runs is not asked who it is: its certificate names it as others call it. */
  readonly isOwnServer?: boolean;
}

/** The library reads the files for every connection. */
export function tlsOptions({ files, isOwnServer }: NatsTls, url: string): TlsOptions {
  const { certificate, key, ca } = files;
  const options = {
    ...(certificate === undefined ? {} : { certFile: certificate }),
    ...(key === undefined ? {} : { keyFile: key }),
    ...(ca === undefined ? {} : { caFile: ca }),
    // What the certificate has to name where the server is known by an address: the library leaves that open. Of several
    // each has a name (see natsSettings).
    ...(url.includes(",") ? {} : { host: hostOf(url) }),
    ...(isOwnServer === true ? { rejectUnauthorized: false } : {}),
  };
  return options;
}

const noFiles: TlsFiles = { certificate: undefined, key: undefined, ca: undefined };
const dialMs = 1000;
/** A server that wants another certificate says so after the handshake. */
const objectionMs = 300;

/** Why TLS does not come about, in a sentence; undefined where it does, or where the server cannot be reached at all. */
export async function tlsProblem(
  tls: NatsTls | undefined,
  url: string,
): Promise<string | undefined> {
  const { port } = new URL(url);
  const host = hostOf(url);
  const socket = connect({ host, port: Number(port) });
  socket.on("error", () => undefined);
  try {
    const greeting = await firstWords(socket);
    if (greeting === undefined) return undefined;
    if (!/"tls_(required|available)":true/.test(greeting))
      return tls === undefined ? undefined : "it speaks no TLS";
    let objection: string | undefined;
    const secure = await secured(socket, {
      ...{ host, files: tls?.files ?? noFiles, protocols: [] },
      settings: { ca: "NATS_CA_FILE", certificate: "NATS_CERT_FILE and NATS_KEY_FILE" },
      anyServer: tls?.isOwnServer === true,
      onTrouble: (sentence) => (objection ??= sentence),
    });
    const closed = new Promise((resolve) => secure.once("close", resolve));
    await Promise.race([closed, sleep(objectionMs, undefined, { ref: false })]);
    return objection;
  } catch (error) {
    return reasonOf(error);
  } finally {
    socket.destroy();
  }
}

/** What a NATS server says of itself before TLS begins. */
async function firstWords(socket: Socket): Promise<string | undefined> {
  const signal = AbortSignal.timeout(dialMs);
  try {
    const [bytes] = (await once(socket, "data", { signal })) as readonly Buffer[];
    return bytes?.toString();
  } catch {
    return undefined;
  }
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, "");
}
