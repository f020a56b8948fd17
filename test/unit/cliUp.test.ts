import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { servingOf, workerEnvironment } from "../../src/cli/fleetUp.js";
import { chosenGpus, parseGpus } from "../../src/cli/gpus.js";
import { KeptPart, type KeepOptions, type Startable } from "../../src/cli/keptPart.js";
import { partEnvironment } from "../../src/cli/partFlags.js";
import type { Ended } from "../../src/cli/processes.js";
import { makeTokenFile } from "../../src/cli/tokenFile.js";
import { dealGpus, upLines } from "../../src/cli/up.js";
import { ensureTokens } from "../../src/cli/upTokens.js";
import { TokenBook } from "../../src/process/tokenBook.js";
import { FailureError } from "../../src/job/problem.js";
import { readTokenFile } from "../../src/process/environment.js";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

async function temporary(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-up-"));
  folders.push(folder);
  return folder;
}

describe("GPUs", () => {
  const listing = [
    "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-8f0a1111-0000-1111-2222-333344445555)",
    "  MIG 1g.10gb     Device  0: (UUID: MIG-aaaa)",
    "GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-9f0b1111-0000-1111-2222-333344445555)",
    "",
  ].join("\n");
  const gpus = parseGpus(listing);
  const ids = gpus.map(({ id }) => id);

  test("are read from nvidia-smi -L, whole ones only", () => {
    expect(ids).toEqual([
      "GPU-8f0a1111-0000-1111-2222-333344445555",
      "GPU-9f0b1111-0000-1111-2222-333344445555",
    ]);
    expect(gpus[0]?.name).toBe("NVIDIA H100 80GB HBM3");
    expect(parseGpus("No devices found.\n")).toEqual([]);
  });

  test.each([
    [undefined, [0, 1]],
    ["", []],
    ["-1", []],
    ["1", [1]],
    ["1,0", [1, 0]],
    ["0,7,1", [0]],
    ["GPU-9f0b", [1]],
  ])("are narrowed by CUDA_VISIBLE_DEVICES=%s as CUDA does it", (visible, expected) => {
    expect(chosenGpus(gpus, visible)).toEqual(expected.map((i) => gpus[i]));
  });

  test("are dealt one per worker, in turn where more workers are asked for", () => {
    const dealt = (count: number | undefined, of = gpus): (string | undefined)[] =>
      dealGpus(of, count).map((gpu) => gpu?.id);
    expect(dealt(undefined)).toEqual(ids);
    expect(dealt(3)).toEqual([ids[0], ids[1], ids[0]]);
    expect(dealt(undefined, [])).toEqual([undefined]);
    expect(dealt(2, [])).toEqual([undefined, undefined]);
    expect(dealt(0)).toEqual([]);
  });
});

describe("what up prints", () => {
  const facts = {
    host: "127.0.0.1",
    port: 7450,
    natsUrl: "nats://127.0.0.1:4222",
    tokens: { tokenFile: undefined, tokensFile: undefined, workerTokenFile: undefined },
    environment: {},
    logFolder: "/l",
  };

  test("on loopback says that nobody else can join, and how they could", () => {
    const text = upLines(facts).join("\n");
    expect(text).toContain("coordinator  127.0.0.1:7450");
    expect(text).toContain("http://127.0.0.1:7451/status");
    expect(text).toContain("up --host 0.0.0.0");
    expect(text).not.toContain("--join");
  });

  test("names the port of NATS, which a firewall has to let through, as others reach it", () => {
    const natsUrl = "tls://0.0.0.0:4333";
    const text = upLines({ ...facts, host: "0.0.0.0", natsUrl }).join("\n");
    expect(text).toContain(`NATS         tls://${hostname()}:4333  (workers)`);
    expect(upLines(facts).join("\n")).toContain("NATS         nats://127.0.0.1:4222  (workers)");
  });

  test("off loopback has the one line to paste on another machine", () => {
    const lines = upLines({
      ...facts,
      host: "10.0.0.5",
      tokens: { ...facts.tokens, tokenFile: "/h/token", workerTokenFile: "/h/worker-token" },
      environment: { BITFLEET_HTTP_PORT: "99" },
    });
    expect(lines).toContain("  bitfleet worker --join 10.0.0.5:7450 --token-file /h/worker-token");
    expect(lines.join("\n")).not.toContain("/h/token");
    expect(lines.join("\n")).toContain("http://10.0.0.5:99/status");
    expect(upLines({ ...facts, host: "fd00::1" }).join("\n")).toContain(
      "--join '[fd00::1]:7450' --token-file FILE",
    );
  });

  test("the port comes from the coordinator's own line", () => {
    const line = '{"host":"127.0.0.1","port":7450,"nats":"nats://127.0.0.1:9","msg":"serving"}';
    expect(servingOf(line)).toEqual({ port: 7450, natsUrl: "nats://127.0.0.1:9" });
    expect(servingOf('{"level":"info","port":7451,"msg":"answering HTTP"}')).toBeUndefined();
    expect(servingOf('not JSON "serving"')).toBeUndefined();
    expect(servingOf('{"msg":"x","job":"\\"serving\\""}')).toBeUndefined();
  });
});

test("flags become the variables that the processes read, and what is not given stays", () => {
  const environment = partEnvironment(
    { BITFLEET_HOST: "10.0.0.5", BITFLEET_PORT: "1", PATH: "/bin" },
    { port: "2", home: "/h", nats: "nats://n:4222", natsPort: "9", join: "c:1", id: "w" },
  );
  expect(environment).toEqual({
    BITFLEET_HOST: "10.0.0.5",
    BITFLEET_PORT: "2",
    BITFLEET_HOME: "/h",
    NATS_URL: "nats://n:4222",
    BITFLEET_NATS_PORT: "9",
    BITFLEET_JOIN: "c:1",
    BITFLEET_WORKER_ID: "w",
    PATH: "/bin",
  });
  expect(partEnvironment({}, { tokenFile: "t" })["BITFLEET_TOKEN_FILE"]).toBe(
    join(process.cwd(), "t"),
  );
});

test("every worker has a name, a GPU and, where they are to answer HTTP, a port of its own", () => {
  const told = (i: number, httpPort?: string): (string | undefined)[] => {
    const given = httpPort === undefined ? {} : { BITFLEET_WORKER_HTTP_PORT: httpPort };
    const gpu = { id: `GPU-${i}`, name: "one" };
    const environment = workerEnvironment(given, { address: "h:1", i, gpu });
    expect(environment["BITFLEET_WORKER_ID"]).toMatch(new RegExp(`-${i + 1}$`));
    expect(environment["CUDA_VISIBLE_DEVICES"]).toBe(`GPU-${i}`);
    return [environment["BITFLEET_JOIN"], environment["BITFLEET_WORKER_HTTP_PORT"]];
  };
  expect(told(0, "7460")).toEqual(["h:1", "7460"]);
  expect(told(2, "7460")).toEqual(["h:1", "7462"]);
  expect(told(2, "0")).toEqual(["h:1", "0"]);
  expect(told(2, "many")).toEqual(["h:1", "many"]);
  expect(told(2)[1] ?? "").toBe("");
});

describe("the tokens of up", () => {
  test("off loopback are an admin's and, for the machines that join, a worker's", async () => {
    const home = join(await temporary(), "home");
    const read = { host: "0.0.0.0", home, tokenFile: undefined, tokensFile: undefined };
    const said: string[] = [];
    const made = await ensureTokens(read, (line) => said.push(line));
    expect(said).toHaveLength(2);
    const { tokenFile, tokensFile, workerTokenFile = "" } = made;
    const roleOf = (file: string | undefined): string | undefined => {
      const warn = (): undefined => undefined;
      const book = TokenBook.open({ tokenFile, tokensFile, warn });
      book.close();
      return book.find(readTokenFile(file ?? "").token)?.role;
    };
    expect(roleOf(tokenFile)).toBe("admin");
    expect(roleOf(workerTokenFile)).toBe("worker");
    expect((await stat(workerTokenFile)).mode & 0o777).toBe(0o600);
    // The next start has the same ones.
    expect(await ensureTokens(read, (line) => said.push(line))).toEqual(made);
    expect(said).toHaveLength(2);
    expect(roleOf(workerTokenFile)).toBe("worker");
  });

  test("are as given, and on loopback none are made", async () => {
    const home = join(await temporary(), "home");
    const none = { tokenFile: undefined, tokensFile: undefined, workerTokenFile: undefined };
    const silent = (line: string): never => expect.fail(line);
    const read = { host: "127.0.0.1", home, tokenFile: undefined, tokensFile: undefined };
    expect(await ensureTokens(read, silent)).toEqual(none);
    const given = { tokenFile: "/t", tokensFile: "/ts" };
    expect(await ensureTokens({ ...read, ...given, host: "0.0.0.0" }, silent)).toEqual({
      ...given,
      workerTokenFile: undefined,
    });
  });
});

describe("the token file", () => {
  test("is made once, for this user's eyes, and is a token that the processes take", async () => {
    const file = join(await temporary(), "home", "token");
    expect(await makeTokenFile(file)).toBe(true);
    const made = await readFile(file, "utf8");
    expect(await makeTokenFile(file)).toBe(false);
    expect(await readFile(file, "utf8")).toBe(made);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(Buffer.from(made.trim(), "base64url")).toHaveLength(32);
    expect(readTokenFile(file)).toEqual({ token: made.trim(), warning: undefined });
  });

  test("that cannot be written is a sentence", async () => {
    const folder = await temporary();
    await writeFile(join(folder, "file"), "");
    await expect(makeTokenFile(join(folder, "file", "token"))).rejects.toThrow(FailureError);
    await expect(makeTokenFile(join(folder, "file", "token"))).rejects.toThrow(
      /cannot write the token file/,
    );
  });
});

/** A process that ends when the test says so. */
class Scripted implements Startable {
  readonly ended: Promise<Ended>;
  stopped = false;
  end: (ended: Ended) => void = () => undefined;

  constructor() {
    this.ended = new Promise((resolve) => (this.end = resolve));
  }

  stop(): Promise<Ended> {
    this.stopped = true;
    this.end({ code: 0, signal: undefined });
    return this.ended;
  }
}

describe("a part that is kept up", () => {
  function keep(more: Partial<KeepOptions> = {}): {
    readonly part: KeptPart;
    readonly started: Scripted[];
    readonly ends: (readonly [number, number | undefined])[];
  } {
    const started: Scripted[] = [];
    const ends: (readonly [number, number | undefined])[] = [];
    const part = new KeptPart({
      start: () => {
        const scripted = new Scripted();
        started.push(scripted);
        return scripted;
      },
      onEnd: ({ code }, waitMs) => ends.push([code, waitMs]),
      isFinal: ({ code }) => code === 2,
      graceMs: 1_000,
      firstWaitMs: 4,
      ...more,
    });
    return { part, started, ends };
  }

  test("is started again with growing pauses, and stays down once another start would be in vain", async () => {
    const { part, started, ends } = keep();
    for (const [i, code] of [1, 1, 137, 2].entries()) {
      await expect.poll(() => started.length).toBe(i + 1);
      started[i]?.end({ code, signal: undefined });
    }
    expect(await part.over).toEqual({ code: 2, signal: undefined });
    expect(ends).toEqual([
      [1, 4],
      [1, 8],
      [137, 16],
      [2, undefined],
    ]);
    expect(started).toHaveLength(4);
  });

  test("is not started again once it was stopped, nor called an accident", async () => {
    const { part, started, ends } = keep();
    await part.stop();
    expect(started.map(({ stopped }) => stopped)).toEqual([true]);
    expect(ends).toEqual([]);
  });

  test("can be stopped during a pause", async () => {
    const { part, started } = keep({ firstWaitMs: 60_000 });
    started[0]?.end({ code: 1, signal: undefined });
    await started[0]?.ended;
    await part.stop();
    expect((await part.over).code).toBe(1);
    expect(started).toHaveLength(1);
  });
});
