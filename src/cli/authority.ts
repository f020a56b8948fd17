/** A small certificate authority: what `bitfleet init` makes certificates with. */
import { createPrivateKey, randomBytes, webcrypto, X509Certificate as Checked } from "node:crypto";
import { isIP } from "node:net";

// The library looks up its classes by metadata that this adds.
import "reflect-metadata";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type Extension,
} from "@peculiar/x509";

export interface Pem {
  readonly certificate: string;
  readonly key: string;
}

export interface LeafOptions {
  readonly name: string;
  /** Host names and addresses of a server; a client has none. */
  readonly hosts?: readonly string[];
  readonly notAfter: Date;
  readonly notBefore?: Date;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const serverUse = "1.3.6.1.5.5.7.3.1";
const clientUse = "1.3.6.1.5.5.7.3.2";
/** Clocks of a fleet differ a little. */
const leewayMs = 3600 * 1000;

export class Authority {
  readonly pem: Pem;
  readonly #certificate: X509Certificate;
  readonly #key: webcrypto.CryptoKey;

  private constructor(pem: Pem, certificate: X509Certificate, key: webcrypto.CryptoKey) {
    this.pem = pem;
    this.#certificate = certificate;
    this.#key = key;
  }

  get notAfter(): Date {
    return this.#certificate.notAfter;
  }

  static async make(name: string, notAfter: Date): Promise<Authority> {
    const keys = await newKeys();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      ...validity(notAfter),
      ...{ serialNumber: serial(), name: `CN=${name}`, keys, signingAlgorithm: algorithm },
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    const pem = { certificate: `${certificate.toString("pem")}\n`, key: await keyPem(keys) };
    return new Authority(pem, certificate, keys.privateKey);
  }

  /** The one that `make` has made. Throws what Node says of a certificate or a key that is none, or another one's. */
  static async load(pem: Pem): Promise<Authority> {
    const key = createPrivateKey(pem.key);
    if (!new Checked(pem.certificate).checkPrivateKey(key))
      throw new Error("the key is another certificate's");
    const bytes = key.export({ type: "pkcs8", format: "der" });
    const signing = await webcrypto.subtle.importKey("pkcs8", bytes, algorithm, false, ["sign"]);
    return new Authority(pem, new X509Certificate(pem.certificate), signing);
  }

  async issue({ name, hosts = [], notAfter, notBefore }: LeafOptions): Promise<Pem> {
    const keys = await newKeys();
    const names = hosts.map((value) => ({
      ...{ type: isIP(value) === 0 ? ("dns" as const) : ("ip" as const), value },
    }));
    const extensions: Extension[] = [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension(names.length > 0 ? [serverUse, clientUse] : [clientUse]),
      // Clients that check strictly, as Python's do, want both.
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
    ];
    if (names.length > 0) extensions.push(new SubjectAlternativeNameExtension(names));
    const certificate = await X509CertificateGenerator.create({
      ...validity(notAfter, notBefore),
      ...{ serialNumber: serial(), subject: `CN=${name}`, issuer: this.#certificate.subject },
      ...{ publicKey: keys.publicKey, signingKey: this.#key },
      ...{ signingAlgorithm: algorithm, extensions },
    });
    return { certificate: `${certificate.toString("pem")}\n`, key: await keyPem(keys) };
  }
}

function validity(
  notAfter: Date,
  notBefore = new Date(Date.now() - leewayMs),
): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore, notAfter };
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}

async function keyPem({ privateKey }: webcrypto.CryptoKeyPair): Promise<string> {
  const bytes = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", privateKey));
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return ["-----BEGIN PRIVATE KEY-----", ...lines, "-----END PRIVATE KEY-----", ""].join("\n");
}

/** Positive, and like no other one. */
function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01;
  return bytes.toString("hex");
}
