import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";

import { startLocalNats } from "../../coordinator/localNats.js";
import { namedNats } from "../../coordinator/natsAccess.js";
import { Authority } from "../../src/cli/authority.js";
import { openRecords } from "../../src/link/jetstream.js";
import { connectFrames } from "../../src/link/nats.js";
import { authorization } from "../../src/link/natsRights.js";
import { reachableUrl } from "../../src/process/address.js";
import { WatchedTls } from "../../src/process/certificates.js";
import { createLogger } from "../../src/process/logger.js";
import { anyPort } from "../../src/process/port.js";
import { failureOf } from "../support/failureOf.js";
import { inDays, PemFolder } from "../support/pemFolder.js";
import { natsBinary, until } from "./frameTransports.js";
import { NatsProcess } from "./natsProcess.js";

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const silent = { onFrame: () => undefined, onStatus: () => undefined };

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), "bitfleet-test-"));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("a server of our own listens on the port that was named, and says who chooses it where that is taken", async () => {
  const natsPort = await anyPort();
  const options = {
    ...{ binary: await natsBinary(), host: "127.0.0.1", home: temporary(), clientTls: undefined },
    ...{ tls: undefined, natsPort, logger: createLogger({}, "silent") },
  };
  const nats = await startLocalNats(options);
  closers.push(() => nats.stop());
  expect(nats.workerAccess.url).toBe(`nats://127.0.0.1:${natsPort}`);
  await expect(startLocalNats({ ...options, home: temporary() })).rejects.toThrow(
    `port ${natsPort} on 127.0.0.1 is in use by another process; choose another BITFLEET_NATS_PORT`,
  );

  // Of a list that names it behind a server that is away, it is found.
  const url = `nats://127.0.0.1:${await anyPort()},${nats.workerAccess.url}`;
  const records = await openRecords({ ...nats.target, url });
  closers.push(() => records.close());
  expect(await records.jobs.keys()).toEqual([]);
  const { user, secret } = nats.workerAccess;
  const link = await connectFrames({
    ...silent,
    url,
    address: "a",
    login: () => ({ user, secret }),
  });
  closers.push(() => link.close());
  expect(link.isConnected).toBe(true);
}, 60_000);

test("off loopback a server of our own speaks TLS, with the certificate that names it as workers call it", async () => {
  const pems = new PemFolder();
  closers.push(() => pems.remove());
  const authority = await Authority.make("a fleet's CA", inDays(9));
  pems.put("ca", authority.pem);
  const hosts = ["localhost"];
  pems.put("server", await authority.issue({ name: "coordinator", hosts, notAfter: inDays(9) }));
  pems.put("worker", await authority.issue({ name: "worker", notAfter: inDays(9) }));
  const watched = new WatchedTls(pems.files("server"), () => undefined);
  closers.push(() => watched.close());
  const nats = await startLocalNats({
    ...{ binary: await natsBinary(), host: "0.0.0.0", home: temporary(), clientTls: undefined },
    tls: { watched, clientCertificates: true },
    natsPort: 0,
    logger: createLogger({}, "silent"),
  });
  closers.push(() => nats.stop());
  // The certificate does not name 127.0.0.1, by which the coordinator itself goes there.
  const records = await openRecords(nats.target);
  closers.push(() => records.close());
  expect(await records.jobs.keys()).toEqual([]);

  const { user, secret } = nats.workerAccess;
  const url = reachableUrl(nats.workerAccess.url, "localhost");
  const worker = { ...silent, url, address: "a", login: () => ({ user, secret }) };
  const link = await connectFrames({ ...worker, tls: { files: pems.files("worker") } });
  closers.push(() => link.close());
  expect(await failureOf(connectFrames({ ...worker, tls: { files: pems.files(undefined) } }))).toBe(
    `cannot reach NATS at ${url}: it wants a client certificate: NATS_CERT_FILE and NATS_KEY_FILE name one`,
  );
});

test("workers are told their user, and the coordinator's changed password is taken up at the next connection", async () => {
  const folder = temporary();
  const [passwordFile, workers] = [join(folder, "own"), join(folder, "workers")];
  writeFileSync(passwordFile, "the-first-password\n", { mode: 0o600 });
  writeFileSync(workers, "the-workers-password\n", { mode: 0o600 });
  const authorize = (secret: string): string =>
    authorization({
      coordinator: { user: "c", secret: JSON.stringify(secret) },
      worker: { user: "w", secret: '"the-workers-password"' },
    });
  const server = await NatsProcess.start({ authorization: authorize("the-first-password") });
  closers.push(() => server.remove());
  const warnings: string[] = [];
  const { target, workerAccess } = namedNats(
    {
      ...{ url: server.url, token: "" },
      user: { user: "c", passwordFile },
      workerUser: { user: "w", passwordFile: workers },
    },
    undefined,
    (sentence) => warnings.push(sentence),
  );
  expect(workerAccess).toEqual({ url: server.url, user: "w", secret: "the-workers-password" });
  const told: (string | undefined)[] = [];
  let isUp = true;
  const records = await openRecords(target, {
    onTrouble: (problem) => told.push(problem),
    onConnection: (up) => (isUp = up),
  });
  closers.push(() => records.close());

  await server.kill();
  server.authorize(authorize("the-second-password"));
  rmSync(passwordFile);
  await server.resume();
  await until("it is refused", () => told.length > 1);
  expect(told).toEqual([
    "the connection to NATS is lost",
    `NATS at ${server.url} refuses the user "c" or its password`,
  ]);
  expect(warnings).toEqual([
    expect.stringMatching(/^NATS_PASSWORD_FILE: cannot read .*; the password read before stays$/),
  ]);
  expect(isUp).toBe(false);
  writeFileSync(passwordFile, "the-second-password\n", { mode: 0o600 });
  await until("it is back", () => isUp);
  expect(await records.jobs.keys()).toEqual([]);
});
