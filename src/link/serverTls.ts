/** The gRPC server's side of TLS: the certificates of watched files, taken up without a restart. */
import { experimental, ServerCredentials } from "@grpc/grpc-js";

import type { TlsMaterial, WatchedTls } from "../process/certificates.js";

export interface ServerTls {
  readonly watched: WatchedTls;
  /** Whether a client has to show a certificate that our CA has signed. */
  readonly clientCertificates: boolean;
}

type Provider = experimental.CertificateProvider;
type IdentityListener = Parameters<Provider["addIdentityCertificateListener"]>[0];
type CaListener = Parameters<Provider["addCaCertificateListener"]>[0];

export function serverCredentials(tls: ServerTls | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const provider = new WatchedProvider(tls.watched);
  const { clientCertificates } = tls;
  return experimental.createCertificateProviderServerCredentials(
    provider,
    clientCertificates ? provider : null,
    clientCertificates,
  );
}

class WatchedProvider implements Provider {
  readonly #watched: WatchedTls;
  readonly #identity = new Set<IdentityListener>();
  readonly #ca = new Set<CaListener>();

  constructor(watched: WatchedTls) {
    this.#watched = watched;
    watched.onChange((material) => {
      for (const listener of this.#identity) tellIdentity(listener, material);
      for (const listener of this.#ca) tellCa(listener, material);
    });
  }

  addCaCertificateListener(listener: CaListener): void {
    this.#ca.add(listener);
    tellCa(listener, this.#watched.material);
  }

  removeCaCertificateListener(listener: CaListener): void {
    this.#ca.delete(listener);
  }

  addIdentityCertificateListener(listener: IdentityListener): void {
    this.#identity.add(listener);
    // Later, once grpc-js has put down who is to be told of it.
    queueMicrotask(() => tellIdentity(listener, this.#watched.material));
  }

  removeIdentityCertificateListener(listener: IdentityListener): void {
    this.#identity.delete(listener);
  }
}

function tellIdentity(listener: IdentityListener, { certificate, key }: TlsMaterial): void {
  listener(
    certificate === undefined || key === undefined ? null : { certificate, privateKey: key },
  );
}

function tellCa(listener: CaListener, { ca }: TlsMaterial): void {
  listener(ca === undefined ? null : { caCertificate: ca });
}
