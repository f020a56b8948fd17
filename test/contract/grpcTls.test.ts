import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { CoordinatorMetrics } from "../../coordinator/metrics.js";
import { WorkerMetrics } from "../../worker/metrics.js";
import { Authority, type Pem } from "../../src/cli/authority.js";
import { connect, type BitfleetClient } from "../../src/client/client.js";
import { openSession } from "../../src/link/grpcClient.js";
import type { RunningServer, WorkerSession } from "../../src/link/service.js";
import { expiryWarnings, WatchedTls, type TlsFiles } from "../../src/process/certificates.js";
import { serve } from "./grpcFixture.js";
import { failureOf } from "../support/failureOf.js";
import { dayMs, inDays, PemFolder } from "../support/pemFolder.js";
import { samplesIn } from "../support/scrape.js";
import { FleetDriver } from "../unit/fleetDriver.js";

let pems: PemFolder;
let folder: string;
let authority: Authority;
let stranger: Authority;
const closers: (() => Promise<void> | void)[] = [];

beforeAll(async () => {
  pems = new PemFolder();
  ({ folder } = pems);
  authority = await Authority.make("a fleet's CA", inDays(100));
  stranger = await Authority.make("another CA", inDays(100));
  put("ca", authority.pem);
  put("strange-ca", stranger.pem);
  const hosts = ["127.0.0.1"];
  put("server", await authority.issue({ name: "coordinator", hosts, notAfter: inDays(90) }));
  put("client", await authority.issue({ name: "client", notAfter: inDays(90) }));
  put("strange", await stranger.issue({ name: "strange", notAfter: inDays(90) }));
});
afterAll(() => pems.remove());
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const put = (name: string, pem: Pem): void => pems.put(name, pem);
const files = (name: string | undefined, ca?: string): TlsFiles => pems.files(name, ca);

interface Secured {
  readonly server: RunningServer;
  readonly at: string;
  readonly sessions: WorkerSession[];
}

async function secured(name = "server", clientCertificates = true): Promise<Secured> {
  const watched = new WatchedTls(files(name), () => undefined);
  const sessions: WorkerSession[] = [];
  const server = await serve(
    { listJobs: async () => [] },
    {
      tls: { watched, clientCertificates },
      onSession: (session) => sessions.push(session),
    },
  );
  closers.push(
    () => watched.close(),
    () => server.close("over"),
  );
  return { server, at: `the coordinator at 127.0.0.1:${server.port}`, sessions };
}

function clientOf({ server }: Secured, tls?: TlsFiles, host = "127.0.0.1"): BitfleetClient {
  const client = connect({ address: `${host}:${server.port}`, tls });
  closers.push(() => client.close());
  return client;
}

/** The serial number of the certificate that the server shows now. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

describe("who may connect", () => {
  test("a client with a certificate of the CA, and a worker", async () => {
    const fleet = await secured();
    expect(await clientOf(fleet, files("client")).jobs()).toEqual([]);
    const session = openSession({
      address: `127.0.0.1:${fleet.server.port}`,
      token: "",
      tls: files("client"),
      onCommand: () => undefined,
      onClosed: () => undefined,
    });
    closers.push(() => session.close());
    await expect.poll(() => fleet.sessions.length).toBe(1);
  });

  test("without asking for client certificates, whoever trusts the CA", async () => {
    const fleet = await secured("server", false);
    expect(await clientOf(fleet, files(undefined)).jobs()).toEqual([]);
  });

  const cannot = "cannot reach";
  test("not a client that trusts another CA", async () => {
    const fleet = await secured();
    expect(await failureOf(clientOf(fleet, files("client", "strange-ca")).jobs())).toMatch(
      `${cannot} ${fleet.at}: its certificate of CN=coordinator is signed by no CA that is trusted here`,
    );
  });

  test("not a client with a certificate of another CA", async () => {
    const fleet = await secured();
    expect(await failureOf(clientOf(fleet, files("strange")).jobs())).toBe(
      `${cannot} ${fleet.at}: it does not accept the client certificate in ${folder}/strange.pem: another CA may have signed it`,
    );
  });

  test("not a client without a certificate", async () => {
    const fleet = await secured();
    expect(await failureOf(clientOf(fleet, files(undefined)).jobs())).toBe(
      `${cannot} ${fleet.at}: it wants a client certificate: --tls-cert and --tls-key name one`,
    );
  });

  test("not a client without TLS", async () => {
    const fleet = await secured();
    expect(await failureOf(clientOf(fleet).jobs())).toBe(
      `${cannot} ${fleet.at}: it hangs up on a client without TLS: it may want --tls-ca`,
    );
  });

  test("not under a name that the certificate does not have", async () => {
    const fleet = await secured();
    expect(await failureOf(clientOf(fleet, files("client"), "localhost").jobs())).toBe(
      `${cannot} the coordinator at localhost:${fleet.server.port}: its certificate of CN=coordinator is not one for localhost`,
    );
  });

  test("a server without TLS is named to a client with TLS", async () => {
    const server = await serve({});
    closers.push(() => server.close("over"));
    const plain = { server, at: "", sessions: [] };
    expect(await failureOf(clientOf(plain, files("client")).jobs())).toMatch(
      /cannot reach the coordinator at .*: it (speaks no TLS|hangs up: it may speak no TLS)/,
    );
  });
});

describe("expiry", () => {
  const past = { notBefore: inDays(-3), notAfter: inDays(-2) };
  const date = past.notAfter.toISOString().slice(0, 10);

  test("of the server's certificate is named with its date", async () => {
    put("old", await authority.issue({ name: "coordinator", hosts: ["127.0.0.1"], ...past }));
    const fleet = await secured("old");
    expect(await failureOf(clientOf(fleet, files("client")).jobs())).toBe(
      `cannot reach ${fleet.at}: its certificate of CN=coordinator expired on ${date}`,
    );
  });

  test("of the client's own certificate too", async () => {
    put("old-client", await authority.issue({ name: "old client", ...past }));
    const fleet = await secured();
    expect(await failureOf(clientOf(fleet, files("old-client")).jobs())).toBe(
      `cannot reach ${fleet.at}: this client's certificate of CN=old client in ${folder}/old-client.pem expired on ${date}`,
    );
  });

  test("is warned of a month ahead, and not before", () => {
    const file = join(folder, "server.pem");
    const { certificate, key, ca } = files("server");
    const on = inDays(90).toISOString().slice(0, 10);
    expect(expiryWarnings({ certificate, key, ca }, Date.now())).toEqual([]);
    expect(expiryWarnings({ certificate, key, ca: undefined }, +inDays(59))).toEqual([]);
    expect(expiryWarnings({ certificate, key, ca: undefined }, +inDays(62))).toEqual([
      `the certificate of CN=coordinator in ${file} expires on ${on}, in 27 days`,
    ]);
    expect(expiryWarnings({ certificate, key, ca: undefined }, +inDays(91))).toEqual([
      `the certificate of CN=coordinator in ${file} expired on ${on}`,
    ]);
  });

  test("is told to Prometheus, of the files as they are now", async () => {
    put("renewed", await authority.issue({ name: "worker", notAfter: inDays(20) }));
    const { fleet } = FleetDriver.started(["a"]);
    const surroundings = { fleet, isLeader: true, term: 1, nowMs: 0, wallMs: 0, disk: undefined };
    const coordinator = new CoordinatorMetrics(files("server"));
    const worker = new WorkerMetrics(files("renewed"));
    const daysLeft = (text: string): Record<string, number> =>
      Object.fromEntries(
        samplesIn(text)
          .filter(({ family }) => family === "bitfleet_certificate_expiry_timestamp_seconds")
          .map(({ labels, value }) => [
            labels["use"] ?? "",
            Math.round((1000 * value - Date.now()) / dayMs),
          ]),
      );
    expect(daysLeft(await coordinator.text(surroundings))).toEqual({ own: 90, ca: 100 });
    expect(daysLeft(await worker.text())).toEqual({ own: 20, ca: 100 });
    put("renewed", await authority.issue({ name: "worker", notAfter: inDays(80) }));
    expect(daysLeft(await worker.text())).toEqual({ own: 80, ca: 100 });
    writeFileSync(join(folder, "renewed.pem"), "half a");
    expect(daysLeft(await worker.text())).toEqual({});
    expect(daysLeft(await new WorkerMetrics().text())).toEqual({});
  });
});

test("other certificates are taken up without a restart; a pair that does not fit changes nothing", async () => {
  const hosts = ["127.0.0.1"];
  put("swapped", await authority.issue({ name: "coordinator", hosts, notAfter: inDays(9) }));
  const fleet = await secured("swapped", false);
  const client = clientOf(fleet, files("client"));
  expect(await client.jobs()).toEqual([]);
  const before = await shown(fleet.server.port);

  writeFileSync(join(folder, "swapped.key"), authority.pem.key);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(await shown(fleet.server.port)).toBe(before);

  put("swapped", await authority.issue({ name: "coordinator", hosts, notAfter: inDays(9) }));
  await expect.poll(() => shown(fleet.server.port), { timeout: 10_000 }).not.toBe(before);
  expect(await client.jobs()).toEqual([]);
  expect(await clientOf(fleet, files("client")).jobs()).toEqual([]);
});
