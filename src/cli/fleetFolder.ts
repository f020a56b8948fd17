/**
 * What `bitfleet init` writes: a folder for every machine and person, each to be copied whole to where it is needed, and the CA's
 * own, which stays. Paths and contents; whoever calls writes them.
 */
import { isIP, isIPv6, SocketAddress } from "node:net";

import { bracketed } from "../process/address.js";
import { defaultPort } from "../process/processSettings.js";
import { tokenDigest, writeTokens } from "../process/tokensFile.js";
import { roles } from "../job/roles.js";
import { configurationOf } from "../link/natsServer.js";
import { Authority } from "./authority.js";
import { newToken } from "./tokenFile.js";

/** Path in the folder -> text, in the order of writing. */
export type FleetFiles = ReadonlyMap<string, string>;

export const caFiles = { certificate: "authority/ca.pem", key: "authority/ca.key" } as const;
export const tokensFile = "coordinator/tokens.json";

const dayMs = 24 * 3600 * 1000;
const caDays = 3652;
const leafDays = 365;
const everywhere = ["localhost", "127.0.0.1", "::1"] as const;
const clients = ["worker", "admin", "submitter", "viewer"] as const;
const natsPort = 4222;

/** Those whom others connect to, and the names that their certificates have. NATS is one where it is not the coordinator's own. */
export type Servers = ReadonlyMap<"coordinator" | "nats", readonly string[]>;

export function isHost(value: string): boolean {
  return isIP(value) !== 0
    ? !value.includes("%")
    : /^[0-9A-Za-z][0-9A-Za-z._-]{0,252}$/.test(value);
}

/** The first name of each is the one by which the others' settings know it. */
export async function newFleet(servers: Servers, nowMs: number): Promise<FleetFiles> {
  const authority = await Authority.make("Bitfleet CA", new Date(nowMs + caDays * dayMs));
  const hosts = servers.get("coordinator") ?? [];
  const [natsHost] = servers.get("nats") ?? [];
  const files = new Map([
    [caFiles.certificate, authority.pem.certificate],
    [caFiles.key, authority.pem.key],
    ["coordinator/coordinator.env", coordinatorEnv(hosts, natsHost)],
    ["worker/worker.env", memberEnv("worker.env", "BITFLEET_JOIN", hosts)],
    ...(natsHost === undefined ? [] : natsFiles()),
  ]);
  for (const name of [...servers.keys(), ...clients])
    files.set(`${name}/ca.pem`, authority.pem.certificate);
  const entries = roles.map((role) => {
    const token = newToken();
    files.set(`${role}/token`, `${token}\n`);
    if (role !== "worker")
      files.set(`${role}/client.env`, memberEnv("client.env", "BITFLEET_COORDINATOR", hosts));
    return { name: role, role, digest: tokenDigest(token) };
  });
  files.set(tokensFile, writeTokens(entries));
  return new Map([...files, ...(await newCertificates(authority, servers, nowMs))]);
}

/** A certificate and key for everyone, for a year but no longer than the CA's. */
export async function newCertificates(
  authority: Authority,
  servers: Servers,
  nowMs: number,
): Promise<FleetFiles> {
  const notAfter = new Date(Math.min(nowMs + leafDays * dayMs, +authority.notAfter));
  const files = new Map<string, string>();
  const issue = async (name: string, hosts: readonly string[]): Promise<void> => {
    const { certificate, key } = await authority.issue({ name, hosts, notAfter });
    files.set(`${name}/key.pem`, key).set(`${name}/cert.pem`, certificate);
  };
  for (const [name, hosts] of servers)
    await issue(name, [...new Set([...hosts, ...everywhere].map(oneSpelling))]);
  for (const name of clients) await issue(name, []);
  return files;
}

/** The server finds certificates and keeps its records in the folder that it is started in. */
function natsFiles(): readonly (readonly [string, string])[] {
  const [coordinator, worker] = [newToken(), newToken()];
  const configuration = configurationOf(
    {
      ...{ folder: ".", port: natsPort },
      users: {
        coordinator: { user: "coordinator", secret: coordinator },
        worker: { user: "worker", secret: worker },
      },
      tls: {
        files: { certificate: "cert.pem", key: "key.pem", ca: "ca.pem" },
        clientCertificates: true,
      },
    },
    "0.0.0.0",
  );
  return [
    ["nats/nats.conf", configuration],
    ["coordinator/nats-password", `${coordinator}\n`],
    ["coordinator/nats-worker-password", `${worker}\n`],
  ];
}

function oneSpelling(host: string): string {
  return isIPv6(host) ? new SocketAddress({ address: host, family: "ipv6" }).address : host;
}

function coordinatorEnv(hosts: readonly string[], natsHost: string | undefined): string {
  const listen = hosts.length === 0 ? "127.0.0.1" : hosts.some(isIPv6) ? "::" : "0.0.0.0";
  return env("coordinator.env", [
    ["BITFLEET_HOST", listen],
    ["BITFLEET_TOKENS_FILE", "$here/tokens.json"],
    ...(natsHost === undefined ? [] : natsVariables(natsHost)),
  ]);
}

function natsVariables(host: string): readonly (readonly [string, string])[] {
  return [
    ["NATS_URL", `tls://${bracketed(host)}:${natsPort}`],
    ["NATS_USER", "coordinator"],
    ["NATS_PASSWORD_FILE", "$here/nats-password"],
    ["NATS_WORKER_USER", "worker"],
    ["NATS_WORKER_PASSWORD_FILE", "$here/nats-worker-password"],
  ];
}

function memberEnv(file: string, address: string, hosts: readonly string[]): string {
  const at = `${bracketed(hosts[0] ?? "127.0.0.1")}:${defaultPort}`;
  return env(file, [
    [address, at],
    ["BITFLEET_TOKEN_FILE", "$here/token"],
  ]);
}

/** Finds its own folder, so that it may be copied anywhere. */
function env(file: string, variables: readonly (readonly [string, string])[]): string {
  const tls = [
    ["BITFLEET_TLS_CERT_FILE", "$here/cert.pem"],
    ["BITFLEET_TLS_KEY_FILE", "$here/key.pem"],
    ["BITFLEET_TLS_CA_FILE", "$here/ca.pem"],
  ] as const;
  return [
    `# For bash or zsh: . ${file}. Other shells find the files when this folder is the working one.`,
    `here=$(cd -- "$(dirname -- "\${BASH_SOURCE:-$0}")" >/dev/null && pwd)`,
    `[ -f "$here/${file}" ] || echo "${file}: go to its folder first, this shell cannot find it" >&2`,
    ...[...variables, ...tls].map(([name, value]) => `export ${name}="${value}"`),
    "unset here",
    "",
  ].join("\n");
}
