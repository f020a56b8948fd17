import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";

import { Authority } from "../../src/cli/authority.js";
import type { FrameLink, LinkStatus } from "../../src/link/frameLink.js";
import { openRecords } from "../../src/link/jetstream.js";
import { connectFrames } from "../../src/link/nats.js";
import type { NatsTarget } from "../../src/link/natsConnection.js";
import { startNatsServer, type NatsServer } from "../../src/link/natsServer.js";
import type { TlsFiles } from "../../src/process/certificates.js";
import { natsTls } from "../../src/process/natsSettings.js";
import { failureOf } from "../support/failureOf.js";
import { inDays, PemFolder } from "../support/pemFolder.js";
import { until } from "../support/fleetProcesses.js";
import { natsBinary } from "./frameTransports.js";

const users = {
  coordinator: { user: "coordinator", secret: "the-coordinators" },
  worker: { user: "worker", secret: "the-workers" },
};
const hosts = ["127.0.0.1"];
const past = { notBefore: inDays(-3), notAfter: inDays(-2) };
const date = past.notAfter.toISOString().slice(0, 10);

let pems: PemFolder;
let authority: Authority;
const closers: (() => unknown)[] = [];

beforeAll(async () => {
  pems = new PemFolder();
  authority = await Authority.make("a fleet's CA", inDays(100));
  const stranger = await Authority.make("another CA", inDays(100));
  pems.put("ca", authority.pem);
  pems.put("strange-ca", stranger.pem);
  pems.put("server", await authority.issue({ name: "nats", hosts, notAfter: inDays(90) }));
  pems.put("old-server", await authority.issue({ name: "nats", hosts, ...past }));
  pems.put("client", await authority.issue({ name: "client", notAfter: inDays(90) }));
  pems.put("old", await authority.issue({ name: "old client", ...past }));
  pems.put("strange", await stranger.issue({ name: "strange", notAfter: inDays(90) }));
});
afterAll(() => pems.remove());
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function start(files: TlsFiles | undefined, port?: number): Promise<NatsServer> {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-nats-tls-"));
  closers.push(() => rm(folder, { recursive: true }));
  const server = await startNatsServer({
    ...{ binary: await natsBinary(), folder, users },
    ...(files === undefined ? {} : { tls: { files, clientCertificates: true } }),
    ...(port === undefined ? {} : { port }),
  });
  closers.push(() => server.stop());
  return server;
}

function targetOf(url: string, files: TlsFiles | undefined): NatsTarget {
  return { url, login: () => users.worker, tls: files && { files } };
}

async function link(
  target: NatsTarget,
  onFrame: () => void = () => undefined,
  onStatus: (status: LinkStatus) => void = () => undefined,
): Promise<FrameLink> {
  const opened = await connectFrames({ ...target, address: "a", onFrame, onStatus });
  closers.push(() => opened.close());
  return opened;
}

test("with a certificate of the CA on both sides records and frames go through", async () => {
  const { url } = await start(pems.files("server"));
  expect(url).toMatch(/^tls:/);
  const records = await openRecords({
    ...{ url, login: () => users.coordinator, tls: { files: pems.files("client") } },
  });
  closers.push(() => records.close());
  expect(await records.jobs.keys()).toEqual([]);
  let frames = 0;
  const own = await link(targetOf(url, pems.files("client")), () => (frames += 1));
  own.send("a", new Uint8Array(300_000));
  await until("the frame", () => frames === 1);
});

const nothing: TlsFiles = { certificate: undefined, key: undefined, ca: undefined };

test.each<[string, () => TlsFiles | undefined, RegExp]>([
  ["one without any TLS", () => undefined, /: its certificate of CN=nats is .* NATS_CA_FILE names/],
  ["one without a CA", () => nothing, /no CA that is trusted here: NATS_CA_FILE names one/],
  [
    "one that trusts another CA",
    () => pems.files("client", "strange-ca"),
    /its certificate of CN=nats is signed by no CA .* none of \/\S+\/strange-ca\.pem \(/,
  ],
  [
    "one without a certificate",
    () => pems.files(undefined),
    /it wants a client certificate: NATS_CERT_FILE and NATS_KEY_FILE name one$/,
  ],
  [
    "one with another CA's certificate",
    () => pems.files("strange"),
    /it does not accept the client certificate in \/\S+\/strange\.pem: another CA may/,
  ],
  [
    "one whose certificate has expired",
    () => pems.files("old"),
    new RegExp(`this client's certificate of CN=old client in /\\S+/old\\.pem expired on ${date}$`),
  ],
  [
    "one whose files cannot be read",
    () => pems.files("client", "missing"),
    /cannot read \/\S+\/missing\.pem/,
  ],
])("not %s: it is told why", async (_, files, sentence) => {
  const { url } = await start(pems.files("server"));
  const failure = await failureOf(link(targetOf(url, files())));
  expect(failure).toContain(`cannot reach NATS at ${url}: `);
  expect(failure).toMatch(sentence);
});

test("a server with an expired certificate, another name or no TLS at all is named", async () => {
  const files = pems.files("client");
  const old = await start(pems.files("old-server"));
  expect(await failureOf(link(targetOf(old.url, files)))).toBe(
    `cannot reach NATS at ${old.url}: its certificate of CN=nats expired on ${date}`,
  );
  const { port } = await start(pems.files("server"));
  expect(await failureOf(link(targetOf(`tls://localhost:${port}`, files)))).toMatch(
    /its certificate of CN=nats is not one for localhost$/,
  );
  const plain = await start(undefined);
  expect(await failureOf(link(targetOf(plain.url, files)))).toBe(
    `cannot reach NATS at ${plain.url}: it speaks no TLS`,
  );
});

test("renewed certificates are taken up without a restart, and what keeps a lost connection away is told", async () => {
  const names = { name: "nats", hosts, notAfter: inDays(9) };
  const next = await Authority.make("the next CA", inDays(100));
  pems.put("swapped", await authority.issue(names));
  pems.put("swapped-ca", authority.pem);
  pems.put("swapped-client", await authority.issue({ ...names, hosts: [] }));
  const server = await start(pems.files("swapped", "swapped-ca"));
  const statuses: LinkStatus[] = [];
  const client = pems.files("swapped-client", "swapped-ca");
  const own = await link(targetOf(server.url, client), undefined, (said) => statuses.push(said));
  const errors = (): readonly LinkStatus[] => statuses.filter(({ kind }) => kind === "error");

  // The server changes over first, and tells those that are there nothing of it.
  pems.put("swapped", await next.issue(names));
  pems.put("swapped-ca", next.pem);
  server.reload();
  await until("the server shows the other", async () => {
    const stranger = await failureOf(link(targetOf(server.url, pems.files("client"))));
    return stranger.includes("no CA that is trusted here");
  });
  expect(own.isConnected).toBe(true);
  await server.stop();
  await start(pems.files("swapped", "swapped-ca"), server.port);
  await until("the reason is told", () => errors().length > 0);
  expect(errors()).toEqual([
    {
      kind: "error",
      message: `cannot reach NATS at ${server.url}: it does not accept the client certificate in ${client.certificate}: another CA may have signed it`,
    },
  ]);
  pems.put("swapped-client", await next.issue({ ...names, hosts: [] }));
  await until("it is back", () => own.isConnected);
});

test("NATS_*_FILE ask for TLS; else a tls:// address takes the certificates of gRPC", () => {
  const grpc = { BITFLEET_TLS_CA_FILE: "/grpc-ca" };
  const nats = { NATS_CA_FILE: "/ca", NATS_CERT_FILE: "/cert", NATS_KEY_FILE: "/key" };
  const named = { certificate: "/cert", key: "/key", ca: "/ca" };
  expect(natsTls({ ...grpc, ...nats }, "nats://h")).toEqual(named);
  expect(natsTls(grpc, "tls://h")).toEqual({ ...nothing, ca: "/grpc-ca" });
  expect(natsTls(grpc, "nats://h")).toBeUndefined();
  expect(natsTls({}, "tls://h")).toEqual(nothing);
  expect(() => natsTls({ NATS_CERT_FILE: "/cert" }, "")).toThrow(
    "NATS_CERT_FILE and NATS_KEY_FILE",
  );
});
