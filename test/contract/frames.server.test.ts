import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FailureError } from "../../src/job/problem.js";
import type { LinkHandlers, LinkStatus } from "../../src/link/frameLink.js";
import { connectFrames } from "../../src/link/nats.js";
import {
  findNatsServer,
  startNatsServer,
  type NatsServer,
  type NatsServerOptions,
} from "../../src/link/natsServer.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { natsBinary, openProxy, until } from "./frameTransports.js";

let folder = "";
const closers: (() => Promise<void> | void)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-server-"));
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
  await rm(folder, { recursive: true });
});

const silent: LinkHandlers = { onFrame: () => undefined, onStatus: () => undefined };

async function start(options: Partial<NatsServerOptions> = {}): Promise<NatsServer> {
  const server = await startNatsServer({ binary: await natsBinary(), folder, ...options });
  closers.push(() => server.stop());
  return server;
}

async function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("data", () => resolve(true)).once("error", () => resolve(false));
    socket.once("close", () => resolve(false));
    closers.push(() => void socket.destroy());
  });
}

describe("a local nats-server", () => {
  test("keeps its passwords out of the command line and asks clients for them", async () => {
    const secret = 'a "b" \\c';
    const worker = { user: "worker", secret };
    const { url } = await start({ users: { coordinator: { user: "c", secret: "other" }, worker } });
    const commands = await new Promise<string>((resolve) => {
      let text = "";
      const ps = spawn("ps", ["-eo", "args"]);
      ps.stdout.on("data", (bytes: Buffer) => (text += bytes.toString()));
      ps.once("close", () => resolve(text));
    });
    expect(commands).toContain(join(folder, "nats.conf"));
    expect(commands).not.toContain(secret);
    expect((await stat(join(folder, "nats.conf"))).mode & 0o777).toBe(0o600);
    const wrong = { ...worker, secret: "wrong" };
    await expect(
      connectFrames({ ...silent, url, address: "a", login: () => wrong }),
    ).rejects.toThrow(new FailureError(`NATS at ${url} refuses the user "worker" or its password`));
    await expect(connectFrames({ ...silent, url, address: "a" })).rejects.toThrow(
      new FailureError(`NATS at ${url} asks for a user or a token, and none was given`),
    );
    const link = await connectFrames({ ...silent, url, address: "a", login: () => worker });
    await link.close();
  });

  test("names the port that is in use", async () => {
    const { port } = await start();
    const second = startNatsServer({
      binary: await natsBinary(),
      folder: join(folder, "second"),
      port,
    });
    await expect(second).rejects.toThrow(
      new FailureError(`port ${port} of 127.0.0.1 is in use by another program`),
    );
  });

  test("that cannot be run is refused with the program named", async () => {
    const binary = join(folder, "absent");
    await expect(startNatsServer({ binary, folder })).rejects.toThrow(/absent.*did not start/);
    await writeFile(binary, "#!/bin/sh\necho 'no such flag' >&2\nexit 3\n", { mode: 0o755 });
    await expect(startNatsServer({ binary, folder })).rejects.toThrow("no such flag");
  });

  test("says so when it ends by itself, and not when it is stopped", async () => {
    const reasons: string[] = [];
    const log: string[] = [];
    const onExit = (reason: string): void => void reasons.push(reason);
    const stopped = await start({ onExit });
    await stopped.stop();
    expect(await answers(stopped.port)).toBe(false);
    expect(reasons).toEqual([]);
    await start({ onExit, onLog: (line) => log.push(line) });
    process.kill(Number(/^\[(\d+)\]/.exec(log[0] ?? "")?.[1]), "SIGKILL");
    await until("the end of the server", () => reasons.length === 1);
    expect(reasons).toEqual(["nats-server ended (137)"]);
  });

  test("keeps what is in JetStream and its port over a stop", async () => {
    const before = await start();
    await before.stop();
    const after = await start({ port: before.port });
    expect(after.url).toBe(before.url);
    expect((await stat(join(folder, "jetstream"))).isDirectory()).toBe(true);
  });

  test("ends with the process that started it, however that ends", async () => {
    const options = JSON.stringify({ binary: await natsBinary(), folder: join(folder, "nats") });
    const built = join(packageRoot(), "dist", "src", "link", "natsServer.js");
    const script = `
      import { startNatsServer } from ${JSON.stringify(built)};
      console.log((await startNatsServer(${options})).port);
      setInterval(() => undefined, 1000);`;
    await writeFile(join(folder, "parent.mjs"), script);
    const parent = spawn(process.execPath, [join(folder, "parent.mjs")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const port = await new Promise<number>((resolve) => {
      parent.stdout.once("data", (bytes: Buffer) => resolve(Number(bytes.toString())));
    });
    expect(await answers(port)).toBe(true);
    parent.kill("SIGKILL");
    await expect.poll(() => answers(port), { timeout: 8000 }).toBe(false);
  });
});

describe("finding a nats-server", () => {
  test("prefers the one named, then the set-up's, then the PATH's", async () => {
    const toolchain = join(folder, "toolchain.json");
    const [named, installed, bin] = ["named", "installed", "bin"].map((name) => join(folder, name));
    if (named === undefined || installed === undefined || bin === undefined) throw new Error();
    await mkdir(bin);
    for (const file of [named, installed, join(bin, "nats-server")]) await writeFile(file, "");
    await writeFile(toolchain, JSON.stringify({ natsServer: installed }));
    const all = { BITFLEET_NATS_SERVER: named, PATH: `/nowhere:${bin}` };
    expect(await findNatsServer(all, toolchain)).toBe(named);
    expect(await findNatsServer({ PATH: all.PATH }, toolchain)).toBe(installed);
    expect(await findNatsServer({ PATH: all.PATH }, "absent.json")).toBe(join(bin, "nats-server"));
    await expect(findNatsServer({ PATH: "/nowhere" }, "absent.json")).rejects.toThrow(
      /no nats-server found: run/,
    );
    await expect(findNatsServer({ BITFLEET_NATS_SERVER: "/nowhere" }, toolchain)).rejects.toThrow(
      "BITFLEET_NATS_SERVER names /nowhere, which is no file",
    );
  });
});

describe("a link to NATS", () => {
  test("where nothing listens is refused with the address named", async () => {
    const server = await start();
    const { url } = server;
    await server.stop();
    const refused = connectFrames({ ...silent, url, address: "a", firstConnectMs: 300 });
    await expect(refused).rejects.toThrow(`cannot reach NATS at ${url}: connection refused`);
  });

  test("to a server that lets less than a frame through is refused", async () => {
    const { url } = await start({ maxPayloadBytes: 2048 });
    await expect(connectFrames({ ...silent, url, address: "a" })).rejects.toThrow(
      "lets 2048 bytes through, which is less than a frame: raise its max_payload",
    );
  });

  test("that is half open is noticed in about two seconds", async () => {
    const server = await start();
    const proxy = await openProxy(server.port);
    closers.push(() => proxy.close());
    const statuses: LinkStatus[] = [];
    const link = await connectFrames({
      ...silent,
      url: `nats://127.0.0.1:${proxy.port}`,
      address: "a",
      onStatus: (status) => statuses.push(status),
    });
    closers.push(() => link.close());
    await link.flush();
    proxy.freeze();
    const frozenAtMs = performance.now();
    const flushed = link.flush();
    await until("the cut", () => statuses.some(({ kind }) => kind === "disconnected"), 6000);
    expect(performance.now() - frozenAtMs).toBeLessThan(4000);
    expect(link.roundTripAgeMs()).toBeGreaterThan(1000);
    await flushed;
  });
});
