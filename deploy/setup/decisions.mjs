// What the set-up decides, without a look at the machine: plain functions of plain values, so that
// each rule can be tested. The files beside this one look, and do what is decided here.

/** Compares dotted versions by number: negative when `a` is older. */
export function compareVersions(a, b) {
  const [left, right] = [a, b].map((text) =>
    text.split(".").map((part) => parseInt(part, 10) || 0),
  );
  for (let i = 0; i < Math.max(left.length, right.length); i += 1) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** One sentence when this kind of machine cannot run TensorFlow's Linux builds, else undefined. */
export function machineProblem({ platform, arch, glibc }) {
  if (platform !== "linux" || !["x64", "arm64"].includes(arch)) {
    return `Bitfleet runs on Linux, x86-64 or arm64; this is ${platform} ${arch}.`;
  }
  if (glibc === undefined) {
    return "TensorFlow needs glibc, which this Linux does not have (Alpine?): use a Debian or Ubuntu.";
  }
  return undefined;
}

/** One sentence when the CPU lacks what TensorFlow's builds use, else undefined; also where that cannot be told. */
export function cpuProblem({ arch, cpuInfo }) {
  const flags = /^flags\s*:(.*)$/m
    .exec(cpuInfo ?? "")?.[1]
    ?.trim()
    .split(/\s+/);
  if (arch !== "x64" || flags === undefined || flags.includes("avx")) return undefined;
  return (
    "This CPU has no AVX instructions, which TensorFlow's builds use: it would end with SIGILL. Use another machine, " +
    "or name a TensorFlow that was built without them in BITFLEET_TENSORFLOW."
  );
}

const packageNames = {
  apt: { compiler: "g++", python: "python3", pip: "python3-pip", npm: "npm" },
  dnf: { compiler: "gcc-c++", python: "python3", pip: "python3-pip", npm: "npm" },
  zypper: { compiler: "gcc-c++", python: "python3", pip: "python3-pip", npm: "npm" },
  pacman: { compiler: "gcc", python: "python", pip: "python-pip", npm: "npm" },
};
const installers = {
  apt: "apt-get install -y",
  dnf: "dnf install -y",
  zypper: "zypper install -y",
  pacman: "pacman -S --noconfirm",
};
const titles = {
  compiler: "a C++ compiler (g++)",
  python: "Python 3",
  pip: "pip for Python 3",
  npm: "npm",
};

/**
 * What to tell someone whose machine lacks `tools` (keys of the tables above): what it is, and the
 * one command that installs all of it with the machine's package manager.
 */
export function missingToolsMessage(tools, manager, isRoot) {
  const known = manager ?? "apt";
  const names = tools.map((tool) => packageNames[known][tool]);
  const command = `${isRoot ? "" : "sudo "}${installers[known]} ${names.join(" ")}`;
  const things = tools.map((tool) => titles[tool]).join(", ");
  return `Missing on this machine: ${things}. Install it with:\n  ${command}`;
}

/** Splits the set-up's own flags from those of the program that runs after it. */
export function parseArguments(args) {
  const options = { device: "auto", forTests: false, run: undefined, rest: [] };
  for (let i = 0; i < args.length; i += 1) {
    const arg = args[i];
    if (arg === "--gpu" || arg === "--cpu") options.device = arg.slice(2);
    else if (arg === "--for-tests" && options.run === undefined) options.forTests = true;
    else if (arg === "--run" && options.run === undefined) options.run = args[(i += 1)];
    else options.rest.push(arg);
  }
  return options;
}

/**
 * What the lock file asks for and npm does not say it installed alike (`node_modules/.package-lock.json`,
 * which it writes last), as names. Packages for other machines may be absent.
 */
export function missingPackages(lock, installed, machine) {
  const wanted = Object.entries(lock.packages ?? {}).filter(([path]) => path !== "");
  const missing = wanted.filter(([path, entry]) => {
    const found = installed.packages?.[path];
    if (found === undefined) return entry.optional !== true || isFor(entry, machine);
    return found.version !== entry.version || found.integrity !== entry.integrity;
  });
  return missing.map(([path]) => path.slice(path.lastIndexOf("node_modules/") + 13));
}

/** Optional packages that name no machine (WebAssembly twins and what those need) are for none. */
function isFor({ os, cpu, libc = ["glibc"] }, { platform, arch }) {
  return Boolean(os?.includes(platform) && cpu?.includes(arch) && libc.includes("glibc"));
}

/** The packages that a wheel's METADATA lists under an extra, as pip requirements. */
export function extraRequirements(metadata, extra) {
  const line = new RegExp(`^Requires-Dist: ([^;]+); extra == ["']${extra}["']\\s*$`);
  return metadata
    .split("\n")
    .map((text) => line.exec(text.trimEnd())?.[1]?.replaceAll(" ", ""))
    .filter((requirement) => requirement !== undefined);
}

/** Compiled files whose source is gone. Both lists hold paths relative to their roots. */
export function orphans(compiled, sources) {
  const stems = new Set(sources.map((path) => path.replace(/\.ts$/, "")));
  return compiled.filter((path) => !stems.has(path.replace(/\.js(\.map)?$/, "")));
}

/**
 * Counts the tests of a vitest JSON report. A file that could not even be loaded, and an error
 * outside of every test, count as one failed test each: neither may pass in silence.
 */
export function countTests(report, exitCode) {
  if (report === undefined) return { passed: 0, failed: 1 };
  const broken = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((t) => t.status === "failed"),
  ).length;
  const failed = report.numFailedTests + broken;
  return { passed: report.numPassedTests, failed: failed === 0 && exitCode !== 0 ? 1 : failed };
}
