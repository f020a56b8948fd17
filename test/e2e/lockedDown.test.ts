import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runProgram } from "../../src/cli/program.js";
import { connect, type BitfleetClient, type JobStatus } from "../../src/client/client.js";
import { flag, settingNames } from "../../src/job/settings.js";
import type { TlsFiles } from "../../src/process/certificates.js";
import { failureOf } from "../support/failureOf.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";
import {
  filePlaces,
  keyLines,
  leaks,
  processPlaces,
  type Places,
  type Secrets,
} from "../support/secretScan.js";
import { sourced } from "../support/sourced.js";
import { FakeTerminal } from "../unit/fakeTerminal.js";

let folder: string;
let made: string;
let locked: FleetProcesses;
let openly: FleetProcesses;
const clients: BitfleetClient[] = [];
/** What commands have written. */
const written = new Map<string, string>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-test-"));
  made = join(folder, "made");
  await bitfleet("init", made, "--host", "127.0.0.1");
  const settings = (role: string, file: string): Readonly<Record<string, string>> =>
    sourced(join(made, role, file), folder);
  locked = await FleetProcesses.start({
    coordinator: settings("coordinator", "coordinator.env"),
    worker: settings("worker", "worker.env"),
    command: settings("submitter", "client.env"),
    client: { token: await tokenOf("admin"), tls: tlsOf("admin") },
  });
  openly = await FleetProcesses.start();
  locked.addWorker("w1");
  openly.addWorker("w1");
  await writePictures(join(folder, "pictures"), { classes: 3, perClass: 20 });
  await Promise.all([locked.waitForWorkers(1), openly.waitForWorkers(1)]);
}, 120_000);

afterAll(async () => {
  for (const client of clients) client.close();
  await Promise.all([locked.stop(), openly.stop()]);
  await rm(folder, { recursive: true, force: true });
});

/** Runs a command that needs no coordinator, in this process. */
async function bitfleet(...args: readonly string[]): Promise<void> {
  const variables = { BITFLEET_TOKENS_FILE: join(made, "coordinator", "tokens.json") };
  const terminal = new FakeTerminal();
  const { signal } = new AbortController();
  expect(await runProgram(args, { terminal, variables, signal })).toBe(0);
  written.set(args.join(" "), `${terminal.answer}\n${terminal.noted}`);
}

async function tokenOf(role: string): Promise<string> {
  return (await readFile(join(made, role, "token"), "utf8")).trim();
}

function tlsOf(role: string | undefined): TlsFiles {
  const own = (file: string): string | undefined =>
    role === undefined ? undefined : join(made, role, file);
  return { certificate: own("cert.pem"), key: own("key.pem"), ca: join(made, "viewer", "ca.pem") };
}

function clientOf(token: string, tls?: TlsFiles): BitfleetClient {
  const client = connect({ address: `127.0.0.1:${locked.port}`, token, tls });
  clients.push(client);
  return client;
}

const job = {
  name: "bits",
  model: "1-1-1-1x0.5",
  seed: 5,
  steps: 12,
  batch: 20,
  shards: 5,
} as const;
const small = { resize: 36, crop: 32, mixup: 0.2, rate: 0.03, checkpointEvery: 3 } as const;

/** `submit` as people type it. */
function submitLine(settings: Readonly<Record<string, string | number>>): readonly string[] {
  return settingNames.flatMap((name) => {
    const value = settings[name];
    return value === undefined ? [] : [flag(name), String(value)];
  });
}

async function watched(
  client: BitfleetClient,
  onStatus: (status: JobStatus) => void,
): Promise<void> {
  for await (const status of client.watch(job.name)) onStatus(status);
}

interface Asking {
  readonly tls: TlsFiles;
  readonly token?: string;
}

/** The code and body that the coordinator answers with. */
async function get(path: string, { tls, token }: Asking): Promise<readonly [number, string]> {
  const [ca, cert, key] = await Promise.all(
    [tls.ca, tls.certificate, tls.key].map(async (file) =>
      file === undefined ? undefined : readFile(file),
    ),
  );
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const at = { host: "127.0.0.1", port: locked.httpPort, path };
  return new Promise((resolve, reject) => {
    const asked = request({ ...at, ca, cert, key, headers, agent: false }, (response) => {
      let body = "";
      response.on("data", (chunk: Buffer) => (body += chunk.toString()));
      response.on("end", () => resolve([response.statusCode ?? 0, body]));
    });
    asked.on("error", reject).end();
  });
}

/** All that must stay where it is: keys, tokens and the passwords of NATS. */
async function secrets(): Promise<Secrets> {
  const found = new Map<string, string>();
  for (const folder of [made, join(locked.folder, "home", "nats")]) {
    for (const [path, text] of await filePlaces(folder, /^$/)) {
      if (path.endsWith("key.pem") || path.endsWith("ca.key"))
        for (const [name, line] of keyLines(path, text)) found.set(name, line);
      else if (holdsSecrets.test(path) && !path.endsWith("nats.conf")) found.set(path, text.trim());
    }
  }
  return found;
}

const holdsSecrets = /(token|password|nats\.conf)$/;

/** What all parts have said, and what they have on the disk beside those secrets. */
async function told(): Promise<Places> {
  const outputs = [locked.coordinator, ...locked.workers.values()].map(
    ({ output, pid }) => [`the output of process ${pid}`, output] as const,
  );
  const logs: string[] = [];
  for await (const line of locked.client.logs(job.name)) logs.push(JSON.stringify(line));
  const files = await filePlaces(join(locked.folder, "home"), holdsSecrets);
  return new Map([...outputs, ...written, ["the job's log", logs.join("\n")], ...files]);
}

test("what init has made trains the bits of an open fleet, and holds against those who may not", async () => {
  const data = join(folder, "pictures");
  await openly.client.submit({ ...job, ...small, data });
  const submitting = locked.command(
    "submit",
    ...submitLine({ ...job, ...small, data, minWorkers: 2 }),
    "--watch",
  );
  const state = (): Promise<string> =>
    locked.client.job(job.name).then(
      (status) => status.state,
      () => "unknown",
    );
  await until("it waits for a second worker", async () => (await state()) === "queued");

  // A watch ends with its token.
  let seen = 0;
  const viewer = clientOf(await tokenOf("viewer"), tlsOf("viewer"));
  const watch = failureOf(watched(viewer, () => (seen += 1)));
  await until("the viewer sees it", () => seen > 0);
  await bitfleet("token", "revoke", "viewer");
  expect(await watch).toMatch(/refused the token: it was revoked$/);
  await bitfleet(
    "token",
    "add",
    "anna",
    "--role",
    "viewer",
    "--out",
    join(made, "viewer", "new.token"),
  );
  const anna = (await readFile(join(made, "viewer", "new.token"), "utf8")).trim();
  const reader = clientOf(anna, tlsOf("viewer"));
  await until("the new one is known", async () => (await failureOf(reader.jobs())) === "done");

  const outFile = join(folder, "never.npz");
  const needs = (call: string): RegExp => new RegExp(`but ${call} needs the role submitter$`);
  expect(await failureOf(reader.exportWeights(job.name, outFile, { force: true }))).toMatch(
    needs("ExportWeights"),
  );
  const worker = clientOf(await tokenOf("worker"), tlsOf("worker"));
  const other = { ...job, ...small, data, name: "other" };
  expect(await failureOf(worker.submit(other))).toMatch(needs("Submit"));
  for (const tls of [tlsOf(undefined), undefined])
    expect(await failureOf(clientOf(anna, tls).jobs())).toMatch("cannot reach the coordinator");
  await webIsLocked(anna);

  // New certificates while it trains.
  locked.addWorker("w2");
  await until("it trains", async () => (await locked.client.job(job.name)).step > 0, 150_000);
  const processes = await processPlaces([process.pid]);
  const before = [...(await secrets())].map(
    ([name, secret]) => [`former ${name}`, secret] as const,
  );
  await bitfleet("init", made, "--renew");
  const { code } = await submitting.ended;
  written.set("submit", submitting.output);
  expect([code, submitting.output]).toEqual([0, expect.stringContaining("bits is done")]);
  await until("the new certificates", () =>
    locked.coordinator.output.includes("took up other certificates"),
  );

  // By a command that has the new ones.
  const file = join(folder, "locked.npz");
  const exported = await locked.bitfleet("export", job.name, "--out", file);
  written.set("export", exported.output);
  expect(exported.code).toBe(0);
  expect(locked.coordinator.output).toContain('"url":"tls://0.0.0.0:');
  const reference = join(folder, "open.npz");
  await until(
    "the open one too",
    async () => (await openly.client.job(job.name)).state === "done",
    150_000,
  );
  await openly.client.exportWeights(job.name, reference);
  const bytes = await readFile(file);
  expect(bytes.length).toBeGreaterThan(1_000_000);
  expect(bytes.equals(await readFile(reference)), "by cmp").toBe(true);

  await nothingLeaked(anna, new Map([...before, ...(await secrets())]), processes);
}, 300_000);

async function webIsLocked(token: string): Promise<void> {
  const withCertificate = { tls: tlsOf("viewer") };
  const without = { tls: tlsOf(undefined) };
  for (const path of ["/healthz", "/readyz"]) expect((await get(path, without))[0]).toBe(200);
  for (const path of ["/status", "/metrics"]) {
    expect((await get(path, { ...without, token }))[0], path).toBe(403);
    expect((await get(path, withCertificate))[0], path).toBe(401);
    expect((await get(path, { ...withCertificate, token: "some-other-token" }))[0]).toBe(401);
    const [code, body] = await get(path, { ...withCertificate, token });
    expect(code, path).toBe(200);
    expect(body).toContain(job.name);
    written.set(path, body);
  }
  const distrusting = { tls: { ...tlsOf("viewer"), ca: undefined } };
  expect(await failureOf(get("/healthz", distrusting))).toMatch(/unable to|self-signed/);
  expect(await failureOf(fetch(`http://127.0.0.1:${locked.httpPort}/healthz`))).toMatch("failed");
}

async function nothingLeaked(token: string, known: Secrets, processes: Places): Promise<void> {
  expect([...known.values()]).toContain(token);
  // Keys of three lines of five members, twice, and the CA's, five tokens, and what NATS asks for.
  expect(new Set(known.values()).size).toBeGreaterThanOrEqual(2 * 5 * 3 + 3 + 5 + 1);
  const lines = [...processes.values()].join("\n");
  for (const part of ["coordinator/main.js", "worker/main.js", "worker/child.js", "nats", "submit"])
    expect(lines, part).toContain(part);
  const places = await told();
  expect(places.size).toBeGreaterThan(10);
  expect(leaks(known, new Map([...processes, ...places]))).toEqual([]);

  // The look finds what is there to be found.
  const open = spawn("sleep", ["60"], { argv0: token, env: { TOKEN: token } });
  try {
    await once(open, "spawn");
    const found = leaks(new Map([["it", token]]), await processPlaces([open.pid ?? 0]));
    expect(found).toEqual(["cmdline", "environ"].map((what) => `it in /proc/${open.pid}/${what}`));
  } finally {
    open.kill("SIGKILL");
  }
}
