import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";

import { ConfigError, FailureError } from "../../src/job/problem.js";
import { hostPort, isLoopback, parseAddress, reachableUrl } from "../../src/process/address.js";
import { readEnvironment, readTokenFile } from "../../src/process/environment.js";
import { readToolchain } from "../../src/process/toolchain.js";
import { parseS3Address } from "../../src/store/s3Address.js";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "bitfleet-test-"));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

test.each([
  ["0", 0],
  ["", 30_000],
  ["86400", 86_400_000],
])("a grace of %j seconds is %i ms", (value, ms) => {
  expect(readEnvironment({ BITFLEET_GRACE_SECONDS: value }).graceMs).toBe(ms);
});

test.each(["-1", "1.5", "86401", "ten"])("a grace of %j is refused by name", (value) => {
  expect(() => readEnvironment({ BITFLEET_GRACE_SECONDS: value })).toThrow(
    `BITFLEET_GRACE_SECONDS is "${value}"`,
  );
});

test("without any variable everything is on loopback and in the home folder", () => {
  const environment = readEnvironment({ HOME: "/root", BITFLEET_PORT: "" });
  expect(environment).toMatchObject({ host: "127.0.0.1", port: 7450, httpPort: 7451 });
  expect(environment.home).toMatch(/\/\.bitfleet$/);
  expect(environment.store).toBe(join(environment.home, "store"));
  const { tokenFile, nats, join: joined, workerId, logLevel } = environment;
  expect([tokenFile, nats, joined, workerId, logLevel]).toEqual([
    ...[undefined, undefined, undefined, undefined],
    "info",
  ]);
});

test("a store in S3 has endpoint and region in its one address", () => {
  const store = (variables: Readonly<Record<string, string>>): string =>
    readEnvironment(variables).store;
  expect(store({ BITFLEET_STORE: "s3://fleet" })).toBe("s3://fleet?region=us-east-1");
  expect(
    store({
      BITFLEET_STORE: "s3://fleet/a/b/",
      BITFLEET_S3_ENDPOINT: "http://minio:9000",
      BITFLEET_S3_REGION: "eu-central-1",
    }),
  ).toBe("s3://fleet/a/b?endpoint=http%3A%2F%2Fminio%3A9000&region=eu-central-1");
  const told = "s3://fleet?endpoint=http%3A%2F%2Fminio%3A9000&region=eu-central-1";
  expect(store({ BITFLEET_STORE: told })).toBe(told);
  expect(store({ BITFLEET_STORE: told, BITFLEET_S3_ENDPOINT: "https://other" })).toContain("other");
});

test("a server of S3 may lie behind a path, its region may have capitals, and a prefix may have =", () => {
  const variables = {
    BITFLEET_STORE: "s3://fleet/team=a/x",
    BITFLEET_S3_ENDPOINT: "https://abc.example.org/storage/v1/s3/",
    BITFLEET_S3_REGION: "RegionOne",
  };
  const told = readEnvironment(variables).store;
  expect(parseS3Address(told, "BITFLEET_STORE")).toEqual({
    bucket: "fleet",
    prefix: "team=a/x",
    endpoint: "https://abc.example.org/storage/v1/s3/",
    region: "RegionOne",
  });
});

test.each([
  [{ BITFLEET_STORE: "s3://F" }, "its bucket must be"],
  [{ BITFLEET_STORE: "s3://" }, "its bucket must be"],
  [{ BITFLEET_STORE: "s3://fleet/../x" }, "its prefix must be"],
  [{ BITFLEET_STORE: "s3://fleet/a//b" }, "its prefix must be"],
  [{ BITFLEET_STORE: "s3://fleet?endpoint=ftp://x" }, "must be http://HOST:PORT"],
  [{ BITFLEET_STORE: "s3://fleet", BITFLEET_S3_ENDPOINT: "minio" }, "BITFLEET_S3_ENDPOINT is"],
  [{ BITFLEET_STORE: "s3://fleet", BITFLEET_S3_ENDPOINT: "http://h/a/../b" }, "_ENDPOINT is"],
  [{ BITFLEET_STORE: "s3://fleet", BITFLEET_S3_ENDPOINT: "http://u:p@h" }, "_ENDPOINT is"],
  [{ BITFLEET_STORE: "s3://fleet", BITFLEET_S3_ENDPOINT: "http://h?x=1" }, "_ENDPOINT is"],
  [{ BITFLEET_STORE: "s3://fleet", BITFLEET_S3_REGION: "E U" }, "BITFLEET_S3_REGION is"],
])("a store %j is refused: %s", (variables, reason) => {
  expect(() => readEnvironment(variables)).toThrow(ConfigError);
  expect(() => readEnvironment(variables)).toThrow(reason);
});

test("every variable is read", () => {
  expect(
    readEnvironment({
      BITFLEET_HOST: "0.0.0.0",
      BITFLEET_PORT: "0",
      BITFLEET_HTTP_PORT: "65535",
      BITFLEET_HOME: "/var/fleet",
      BITFLEET_STORE: "/mnt/store",
      BITFLEET_TOKEN_FILE: "/run/token",
      BITFLEET_TOKENS_FILE: "/run/tokens.json",
      BITFLEET_TLS_CERT_FILE: "/run/tls.crt",
      BITFLEET_TLS_KEY_FILE: "/run/tls.key",
      BITFLEET_TLS_CA_FILE: "/run/ca.crt",
      NATS_URL: "tls://nats:4333",
      BITFLEET_NATS_PORT: "4223",
      NATS_USER: "coordinator",
      NATS_PASSWORD_FILE: "/run/nats",
      NATS_WORKER_USER: "worker",
      NATS_WORKER_PASSWORD_FILE: "/run/nats-worker",
      BITFLEET_SCALE_STATEFULSET: "fleet-worker",
      BITFLEET_SCALE_MAX: "4",
      BITFLEET_JOIN: "[::1]:7450",
      BITFLEET_WORKER_ID: "gpu-3",
      BITFLEET_KEEP_STATE: "90",
      BITFLEET_LOG_BYTES: "268435456",
      BITFLEET_GRACE_SECONDS: "20",
      LOG_LEVEL: "debug",
      LOG_FORMAT: "text",
    }),
  ).toEqual({
    host: "0.0.0.0",
    port: 0,
    natsPort: 4223,
    httpPort: 65535,
    home: "/var/fleet",
    store: "/mnt/store",
    tokenFile: "/run/token",
    tokensFile: "/run/tokens.json",
    tls: { certificate: "/run/tls.crt", key: "/run/tls.key", ca: "/run/ca.crt" },
    clientCertificates: true,
    metricsAreOpen: false,
    nats: {
      ...{ url: "tls://nats:4333", token: "" },
      user: { user: "coordinator", passwordFile: "/run/nats" },
      workerUser: { user: "worker", passwordFile: "/run/nats-worker" },
    },
    scaling: { statefulSet: "fleet-worker", min: 0, max: 4 },
    join: { host: "::1", port: 7450 },
    workerId: "gpu-3",
    keepStateSeconds: 90,
    logBytes: 268_435_456,
    graceMs: 20_000,
    logLevel: "debug",
    logFormat: "text",
  });
});

test("what a coordinator scales has a name and bounds in order", () => {
  const name = { BITFLEET_SCALE_STATEFULSET: "w" };
  expect(readEnvironment(name).scaling).toBeUndefined();
  expect(readEnvironment({ ...name, BITFLEET_SCALE_MIN: "9" }).scaling).toEqual({
    ...{ statefulSet: "w", min: 9, max: 9 },
  });
  expect(() => readEnvironment({ BITFLEET_SCALE_MIN: "1" })).toThrow("BITFLEET_SCALE_STATEFULSET");
  const crossed = { ...name, BITFLEET_SCALE_MIN: "3", BITFLEET_SCALE_MAX: "2" };
  expect(() => readEnvironment(crossed)).toThrow(
    "BITFLEET_SCALE_MIN is 3, but must not be more than BITFLEET_SCALE_MAX, 2",
  );
  const odd = { ...name, BITFLEET_SCALE_MAX: "-1" };
  expect(() => readEnvironment(odd)).toThrow(
    'BITFLEET_SCALE_MAX is "-1", but must be a whole number from 0 to 10000',
  );
});

test("a certificate and its key belong together, and only a CA can ask clients for certificates", () => {
  const lone = { BITFLEET_TLS_CERT_FILE: "c" };
  expect(() => readEnvironment(lone)).toThrow(
    "BITFLEET_TLS_CERT_FILE and BITFLEET_TLS_KEY_FILE must be set together, and one is not",
  );
  const pair = { ...lone, BITFLEET_TLS_KEY_FILE: "k" };
  expect(readEnvironment(pair).clientCertificates).toBe(false);
  const withCa = { ...pair, BITFLEET_TLS_CA_FILE: "a" };
  expect(readEnvironment(withCa).clientCertificates).toBe(true);
  const off = { ...withCa, BITFLEET_TLS_CLIENT_CERTS: "off" };
  expect(readEnvironment(off).clientCertificates).toBe(false);
});

test.each([
  ["BITFLEET_TLS_CLIENT_CERTS", "maybe"],
  ["BITFLEET_PORT", "-1"],
  ["BITFLEET_PORT", "65536"],
  ["BITFLEET_HTTP_PORT", "7451.5"],
  ["BITFLEET_HOST", "a b"],
  ["BITFLEET_JOIN", "host"],
  ["BITFLEET_JOIN", "host:0"],
  ["BITFLEET_JOIN", "::1:7450"],
  ["BITFLEET_WORKER_ID", "-a"],
  ["BITFLEET_KEEP_STATE", "0"],
  ["BITFLEET_LOG_BYTES", "16777215"],
  ["BITFLEET_LOG_BYTES", "1 GiB"],
  ["BITFLEET_KEEP_STATE", "1.5"],
  ["BITFLEET_WORKER_ID", "A"],
  ["BITFLEET_WORKER_ID", "a".repeat(64)],
  ["LOG_LEVEL", "verbose"],
])("%s = %s is refused in a sentence with both in it", (name, value) => {
  const read = (): unknown => readEnvironment({ [name]: value });
  expect(read).toThrow(ConfigError);
  expect(read).toThrow(`${name} is "${value}"`);
});

test("a NATS URL that is none is refused without a word of the token in it", () => {
  for (const url of [
    ...["nats://user:hunter2@h:1", "https://hunter2@h", "nats://", ",", "nats://h,"],
    ...["nats://h,nats://user:hunter2@g", "nats://h,https://hunter2@g"],
  ]) {
    expect(() => readEnvironment({ NATS_URL: url })).toThrow(/^NATS_URL must be (?!.*hunter2)/);
  }
  const nobody = { user: undefined, workerUser: undefined };
  expect(readEnvironment({ NATS_URL: "nats" }).nats).toEqual({
    ...{ url: "nats://nats:4222", token: "" },
    ...nobody,
  });
  expect(readEnvironment({ NATS_URL: "nats://s%40cret@nats:4333" }).nats).toEqual({
    ...{ url: "nats://nats:4333", token: "s@cret" },
    ...nobody,
  });
});

test("several servers of NATS are alike, and a user's password is told where to go", () => {
  const read = (url: string): unknown => readEnvironment({ NATS_URL: url }).nats;
  expect(read("nats://a:1, b ,nats://[::1]:3")).toMatchObject({
    url: "nats://a:1,nats://b:4222,nats://[::1]:3",
    token: "",
  });
  expect(read("nats://t@a,nats://t@b,c")).toMatchObject({
    url: "nats://a:4222,nats://b:4222,nats://c:4222",
    token: "t",
  });
  expect(read("tls://10.0.0.1")).toMatchObject({ url: "tls://10.0.0.1:4222" });
  const refused: readonly (readonly [string, string])[] = [
    ["nats://user:hunter2@h", "NATS_USER names the user, and NATS_PASSWORD_FILE a file with the"],
    ["nats://a,tls://b", "NATS_URL has both nats:// and tls://"],
    ["nats://t@a,nats://u@b", "NATS_URL has several tokens in it"],
    ["tls://a,tls://10.0.0.1", "which their certificates must know by name"],
    [Array(17).fill("a").join(","), "NATS_URL has 17 servers, but at most 16 are taken"],
  ];
  for (const [url, sentence] of refused) {
    expect(() => read(url)).toThrow(ConfigError);
    expect(() => read(url)).toThrow(sentence);
  }
});

test("users of NATS come with their passwords, and the workers' not without the coordinator's", () => {
  const url = { NATS_URL: "nats://nats:4222" };
  const own = { NATS_USER: "c", NATS_PASSWORD_FILE: "/c" };
  const workers = { NATS_WORKER_USER: "w", NATS_WORKER_PASSWORD_FILE: "/w" };
  const refused: readonly [Record<string, string>, string][] = [
    [own, "NATS_USER is set, but NATS_URL, the server that knows it, is not"],
    [{ ...url, NATS_USER: "c" }, "NATS_USER and NATS_PASSWORD_FILE must be set together"],
    [{ ...url, ...own, NATS_WORKER_PASSWORD_FILE: "/w" }, "NATS_WORKER_USER and NATS_WORKER_PASS"],
    [{ ...url, ...workers }, "NATS_WORKER_USER is set, but NATS_USER, the coordinator's own, is"],
    [{ ...own, NATS_URL: "nats://t@nats" }, "NATS_URL has a token in it and NATS_USER is set"],
    [{ ...url, ...own, NATS_USER: "a b" }, 'NATS_USER is "a b", but must be 1 to 64 letters'],
  ];
  for (const [variables, sentence] of refused) {
    expect(() => readEnvironment(variables)).toThrow(ConfigError);
    expect(() => readEnvironment(variables)).toThrow(sentence);
  }
});

test("an address is read with names, IPv4 and bracketed IPv6", () => {
  expect(parseAddress("coordinator.fleet:1", "--join")).toEqual({
    host: "coordinator.fleet",
    port: 1,
  });
  expect(parseAddress("[fe80::1]:65535", "--join")).toEqual({ host: "fe80::1", port: 65535 });
  for (const written of ["coordinator.fleet:1", "[fe80::1]:65535"])
    expect(hostPort(parseAddress(written, "--join"))).toBe(written);
  expect(() => parseAddress("a:65536", "--join")).toThrow('--join is "a:65536"');
});

test("loopback is what only this machine reaches", () => {
  expect(["localhost", "127.0.0.1", "127.9.9.9", "::1"].every(isLoopback)).toBe(true);
  expect(["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example", "host"].some(isLoopback)).toBe(false);
});

test("only a wildcard host is replaced by the one the worker knows", () => {
  expect(reachableUrl("nats://0.0.0.0:4222", "10.1.2.3")).toBe("nats://10.1.2.3:4222");
  expect(reachableUrl("nats://[::]:4222", "fe80::1")).toBe("nats://[fe80::1]:4222");
  expect(reachableUrl("nats://10.0.0.0:4222", "10.1.2.3")).toBe("nats://10.0.0.0:4222");
});

test("a token is one line of at least 8 visible characters, and a file open to others is warned of", () => {
  const file = join(folder, "token");
  writeFileSync(file, "  12345678\n", { mode: 0o600 });
  expect(readTokenFile(file)).toEqual({ token: "12345678", warning: undefined });
  chmodSync(file, 0o640);
  expect(readTokenFile(file).warning).toContain("chmod 600");
  if (process.getuid?.() === 0) {
    // As Kubernetes mounts a secret: another's file, for our group.
    chownSync(file, 10_001, 0);
    expect(readTokenFile(file).warning).toBeUndefined();
    chmodSync(file, 0o644);
    expect(readTokenFile(file).warning).toContain("chmod 600");
    chownSync(file, 0, 0);
  }
  for (const content of [
    "1234567",
    "",
    "12345678\n12345678",
    "1234 5678",
    "pässwörter",
    "x".repeat(5000),
  ]) {
    writeFileSync(file, content);
    expect(() => readTokenFile(file, "--token-file")).toThrow(/^--token-file: .*token/);
  }
  expect(() => readTokenFile(join(folder, "none"))).toThrow(ConfigError);
  expect(() => readTokenFile(folder)).toThrow(ConfigError);
});

test("a toolchain that is not there, or is not whole, names the commands that make it", () => {
  expect(() => readToolchain(folder)).toThrow(FailureError);
  expect(() => readToolchain(folder)).toThrow("npm run demo");
});
