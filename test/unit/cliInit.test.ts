import { createPrivateKey, X509Certificate } from "node:crypto";
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { Authority } from "../../src/cli/authority.js";
import { runProgram } from "../../src/cli/program.js";
import { expiryWarnings, readTls } from "../../src/process/certificates.js";
import { readEnvironment, readTokenFile, type Environment } from "../../src/process/environment.js";
import { parseTokens, tokenDigest } from "../../src/process/tokensFile.js";
import { failureOf } from "../support/failureOf.js";
import { sourced } from "../support/sourced.js";
import { FakeTerminal } from "./fakeTerminal.js";
import { temporaryFolder } from "./temporaryFolder.js";

const dayMs = 24 * 3600 * 1000;
const members = ["coordinator", "worker", "admin", "submitter", "viewer"];

let root: string;
let fleet: string;
beforeEach(async () => {
  root = await temporaryFolder();
  fleet = join(root, "fleet");
});

async function init(...args: readonly string[]): Promise<string> {
  const terminal = new FakeTerminal();
  const { signal } = new AbortController();
  expect(await runProgram(["init", ...args], { terminal, variables: {}, signal })).toBe(0);
  return terminal.answer;
}

async function certificate(path: string): Promise<X509Certificate> {
  return new X509Certificate(await readFile(join(fleet, path)));
}

const settingsIn = (folder: string, file: string): Environment =>
  readEnvironment(sourced(join(folder, file), root));

async function filesOf(folder: string): Promise<ReadonlyMap<string, string>> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = found
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const texts = paths.map(async (path) => [path, await readFile(path, "utf8")] as const);
  return new Map(await Promise.all(texts));
}

test("everyone's certificate is the CA's, for a year; the CA is for ten", async () => {
  await init(fleet, "--host", "train.example.org", "10.0.0.7", "fd00::7");
  const ca = await certificate("authority/ca.pem");
  expect(ca.ca).toBe(true);
  expect(Math.round((Date.parse(ca.validTo) - Date.now()) / dayMs)).toBe(3652);
  for (const name of members) {
    const own = await certificate(`${name}/cert.pem`);
    expect(own.checkIssued(ca) && own.verify(ca.publicKey), name).toBe(true);
    expect([own.subject, own.ca]).toEqual([`CN=${name}`, false]);
    expect(
      own.checkPrivateKey(createPrivateKey(await readFile(join(fleet, name, "key.pem")))),
    ).toBe(true);
    expect(Math.round((Date.parse(own.validTo) - Date.now()) / dayMs)).toBe(365);
    expect(await readFile(join(fleet, name, "ca.pem"), "utf8")).toBe(ca.toString());
  }
  const server = await certificate("coordinator/cert.pem");
  for (const host of ["train.example.org", "localhost"]) expect(server.checkHost(host)).toBe(host);
  for (const ip of ["10.0.0.7", "127.0.0.1"]) expect(server.checkIP(ip)).toBe(ip);
  expect(server.subjectAltName).toContain("IP Address:FD00:0:0:0:0:0:0:7");
  expect((await certificate("worker/cert.pem")).subjectAltName).toBeUndefined();
});

test("nobody else can read any of it", async () => {
  await init(fleet);
  const found = await readdir(fleet, { recursive: true, withFileTypes: true });
  expect(
    found
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => name)
      .toSorted(),
  ).toEqual(["authority", ...members].toSorted());
  expect((await stat(fleet)).mode & 0o777).toBe(0o700);
  for (const entry of found) {
    const { mode } = await stat(join(entry.parentPath, entry.name));
    expect(mode & 0o777, entry.name).toBe(entry.isFile() ? 0o600 : 0o700);
  }
  expect(await readdir(root)).toEqual(["fleet"]);
});

test("the coordinator's file holds the hash of each role's token", async () => {
  await init(fleet);
  const text = await readFile(join(fleet, "coordinator/tokens.json"), "utf8");
  const entries = parseTokens(text, "tokens.json");
  expect(entries.map(({ name, role }) => [name, role])).toEqual(
    ["viewer", "submitter", "worker", "admin"].map((role) => [role, role]),
  );
  const tokens = entries.map(({ role, digest }) => {
    const { token, warning } = readTokenFile(join(fleet, role, "token"));
    expect([tokenDigest(token), warning]).toEqual([digest, undefined]);
    expect(text).not.toContain(token);
    return token;
  });
  expect(new Set(tokens).size).toBe(4);
});

describe("the settings", () => {
  const tls = (folder: string): Environment["tls"] => ({
    certificate: join(folder, "cert.pem"),
    key: join(folder, "key.pem"),
    ca: join(folder, "ca.pem"),
  });

  test("are read where each folder was copied to", async () => {
    await init(fleet, "--host", "train.example.org", "10.0.0.7");
    const at = join(root, "another place", "x");
    await cp(fleet, at, { recursive: true });
    await rm(fleet, { recursive: true });
    const coordinator = settingsIn(join(at, "coordinator"), "coordinator.env");
    expect(coordinator).toMatchObject({ host: "0.0.0.0", clientCertificates: true });
    expect(coordinator.tokensFile).toBe(join(at, "coordinator", "tokens.json"));
    expect(coordinator.tls).toEqual(tls(join(at, "coordinator")));
    const worker = settingsIn(join(at, "worker"), "worker.env");
    expect(worker.join).toEqual({ host: "train.example.org", port: 7450 });
    expect(worker.tokenFile).toBe(join(at, "worker", "token"));
    for (const { tls: own } of [coordinator, worker])
      expect(readTls(own ?? expect.fail("without TLS"))).toBeDefined();
    for (const role of ["admin", "submitter", "viewer"]) {
      const { tokenFile, tls: own } = settingsIn(join(at, role), "client.env");
      expect([tokenFile, own]).toEqual([join(at, role, "token"), tls(join(at, role))]);
    }
  });

  test("keep to this machine without a host, and take IPv6 with one", async () => {
    expect(await init(fleet)).toContain("Only this machine can reach it");
    expect(settingsIn(join(fleet, "coordinator"), "coordinator.env").host).toBe("127.0.0.1");
    const six = join(root, "six");
    expect(await init(six, "--host", "fd00::7")).not.toContain("Only this machine");
    expect(settingsIn(join(six, "coordinator"), "coordinator.env").host).toBe("::");
    expect(settingsIn(join(six, "worker"), "worker.env").join).toEqual({
      host: "fd00::7",
      port: 7450,
    });
  });
});

describe("--nats", () => {
  test("makes a server's folder, and has the coordinator use it", async () => {
    const lines = await init(fleet, "--host", "10.0.0.7", "--nats", "nats.example.org");
    expect(lines).toContain(`cd ${fleet}/nats && nats-server -c nats.conf`);
    expect(settingsIn(join(fleet, "coordinator"), "coordinator.env").nats).toMatchObject({
      url: "tls://nats.example.org:4222",
      user: { user: "coordinator", passwordFile: join(fleet, "coordinator/nats-password") },
      workerUser: { user: "worker", passwordFile: join(fleet, "coordinator/nats-worker-password") },
    });
    const conf = await readFile(join(fleet, "nats/nats.conf"), "utf8");
    for (const name of ["nats-password", "nats-worker-password"])
      expect(conf).toContain(readTokenFile(join(fleet, "coordinator", name)).token);
    const own = await certificate("nats/cert.pem");
    expect([own.checkHost("nats.example.org"), own.checkIP("10.0.0.7")]).toEqual([
      "nats.example.org",
      undefined,
    ]);
    await init(fleet, "--renew");
    const renewed = await certificate("nats/cert.pem");
    expect(renewed.subjectAltName).toBe(own.subjectAltName);
    expect(renewed.serialNumber).not.toBe(own.serialNumber);
  });

  test("is refused where it is no name, or settings are there already", async () => {
    expect(await failureOf(init(fleet, "--nats", "nats://x"))).toBe(
      '--nats is "nats://x", but must be a host name or an IP address',
    );
    await init(fleet);
    expect(await failureOf(init(fleet, "--renew", "--nats", "x"))).toMatch(
      /^--nats cannot be given/,
    );
  });
});

describe("what is refused, and leaves nothing behind", () => {
  test("a folder that holds something", async () => {
    await mkdir(fleet);
    await writeFile(join(fleet, "mine"), "");
    expect(await failureOf(init(fleet))).toBe(
      `${fleet} is not empty; name another folder, or renew its certificates with --renew`,
    );
    expect(await readdir(root)).toEqual(["fleet"]);
    await rm(join(fleet, "mine"));
    await init(fleet);
  });

  test.each([
    ["--host", "a b", '--host is "a b", but must be a host name or an IP address'],
    ["--host", "a:7450", '--host is "a:7450", but must be a host name or an IP address'],
    ["--host", "$(id)", '--host is "$(id)", but must be a host name or an IP address'],
    [
      "--host",
      "fe80::1%eth0",
      '--host is "fe80::1%eth0", but must be a host name or an IP address',
    ],
  ])("%s %s", async (flag, value, sentence) => {
    expect(await failureOf(init(fleet, flag, value))).toBe(sentence);
    expect(await readdir(root)).toEqual([]);
  });

  test("a file, the folder that one is in, a place that is not there", async () => {
    await writeFile(join(root, "file"), "");
    expect(await failureOf(init(join(root, "file")))).toBe(`${root}/file is a file, not a folder`);
    expect(await failureOf(init("."))).toMatch(/^\. is the folder that you are in/);
    expect(await failureOf(init(join(root, "no", "where")))).toMatch(
      `cannot write ${root}/no/where: ENOENT`,
    );
    expect(await readdir(root)).toEqual(["file"]);
  });
});

describe("--renew", () => {
  test("makes other certificates of the same CA and names, and nothing else", async () => {
    await init(fleet, "--host", "train.example.org", "fd00::7");
    const before = await filesOf(fleet);
    const old = await certificate("coordinator/cert.pem");
    await init(fleet, "--renew");
    const after = await filesOf(fleet);
    const changed = [...after]
      .filter(([path, text]) => before.get(path) !== text)
      .map(([path]) => path);
    const expected = members.flatMap((name) =>
      ["cert.pem", "key.pem"].map((file) => join(fleet, name, file)),
    );
    expect(changed.toSorted()).toEqual(expected.toSorted());
    expect([...after.keys()].toSorted()).toEqual([...before.keys()].toSorted());
    const renewed = await certificate("coordinator/cert.pem");
    expect(renewed.subjectAltName).toBe(old.subjectAltName);
    expect(renewed.serialNumber).not.toBe(old.serialNumber);
    expect(renewed.verify((await certificate("authority/ca.pem")).publicKey)).toBe(true);
    for (const name of members) {
      const [cert, key, ca] = ["cert", "key", "ca"].map((part) => join(fleet, name, `${part}.pem`));
      expect(readTls({ certificate: cert, key, ca })).toBeDefined();
    }
  });

  test("takes other names", async () => {
    await init(fleet, "--host", "old.example.org");
    await init(fleet, "--renew", "--host", "new.example.org");
    const { subjectAltName } = await certificate("coordinator/cert.pem");
    expect(subjectAltName).toMatch(/^DNS:new\.example\.org, DNS:localhost/);
  });

  test("no certificate outlives the CA", async () => {
    await init(fleet);
    await keepAuthority(await Authority.make("short", new Date(Date.now() + 20 * dayMs)));
    await init(fleet, "--renew");
    const own = join(fleet, "worker/cert.pem");
    expect(expiryWarnings({ certificate: own, key: undefined, ca: undefined }, Date.now())).toEqual(
      [expect.stringMatching(/expires on .*, in (19|20) days$/)],
    );
  });

  test("is refused without a CA that can sign", async () => {
    await mkdir(fleet);
    expect(await failureOf(init(fleet, "--renew"))).toMatch(
      `${fleet} holds no CA that can sign: ENOENT`,
    );
    await rm(fleet, { recursive: true });
    await init(fleet);
    const other = await Authority.make("another", new Date(Date.now() + dayMs));
    await writeFile(join(fleet, "authority/ca.key"), other.pem.key);
    expect(await failureOf(init(fleet, "--renew"))).toBe(
      `${fleet} holds no CA that can sign: the key is another certificate's`,
    );
    await keepAuthority(await Authority.make("old", new Date(Date.now() - dayMs)));
    expect(await failureOf(init(fleet, "--renew"))).toMatch(/^the CA in .* expired on \d{4}-/);
  });

  async function keepAuthority({ pem }: Authority): Promise<void> {
    await writeFile(join(fleet, "authority/ca.pem"), pem.certificate);
    await writeFile(join(fleet, "authority/ca.key"), pem.key);
  }
});
