import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, expect, test } from "vitest";
import { packageRoot } from "../../src/process/toolchain.js";
import { until } from "../support/fleetProcesses.js";

const started: ChildProcess[] = [];

/** The shell and what it has started. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // All of them have ended.
  }
}

afterEach(() => {
  for (const { pid } of started.splice(0)) killGroup(pid);
});

/** Logs `lines` lines of some 200 bytes, says on stderr when it has, then does as told on stdin. */
const program = `
  const { createLogger } = await import(${JSON.stringify(
    pathToFileURL(join(packageRoot(), "dist/src/process/logger.js")).href,
  )});
  const logger = createLogger({ process: "test" });
  for (let i = 0; i < Number(process.argv[1]); i += 1) logger.info({ i, text: "x".repeat(150) }, "a line");
  process.stderr.write("logged\\n");
  process.stdin.once("data", (text) => {
    const order = String(text).trim();
    if (order === "throw") throw new Error("a fault");
    if (order === "line") logger.info("the last line");
    if (order === "exit") process.exit(3);
  });
  setInterval(() => undefined, 1000);`;

interface Line {
  readonly msg: string;
  readonly i?: number;
  readonly lines?: number;
}

/** `shell` pipes its output through a real pipe; else it is a socket, as Node makes them. */
function start(lines: number, shell = false): ChildProcess {
  const args = ["--input-type=module", "-e", program, String(lines)];
  const child = shell
    ? spawn("/bin/sh", ["-c", '"$@" | { sleep 1; cat; }', "sh", process.execPath, ...args], {
        detached: true,
      })
    : spawn(process.execPath, args, { detached: true });
  started.push(child);
  return child;
}

async function logged(child: ChildProcess): Promise<void> {
  if (child.stderr === null) throw new Error("no stderr");
  await once(child.stderr, "data");
}

function collect(child: ChildProcess): () => readonly Line[] {
  let text = "";
  child.stdout?.on("data", (bytes: Buffer) => (text += bytes.toString()));
  return () =>
    text
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
}

test.each([
  ["a socket", false],
  ["a pipe", true],
])(
  "output that nobody reads from %s holds nothing up, and what is left out is counted",
  async (_, shell) => {
    const count = 20_000;
    const child = start(count, shell);
    // Nobody reads, and yet it gets to the end.
    await logged(child);
    const lines = collect(child);
    await until("what has waited", () =>
      lines().some(({ msg }) => msg.startsWith("lines were left out")),
    );
    const left = lines().reduce((sum, line) => sum + (line.lines ?? 0), 0);
    const came = lines().filter(({ msg }) => msg === "a line");
    expect(came.length + left).toBe(count);
    expect(came.length).toBeGreaterThan(1000);
    expect(left).toBeGreaterThan(1000);
    // In order, and whole up to where lines began to be left out; the reader may have come before the last one was said.
    const numbers = came.map(({ i = -1 }) => i);
    expect(numbers).toEqual([...new Set(numbers)].toSorted((a, b) => a - b));
    expect(numbers.slice(0, 1000)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    child.stdin?.write("line\n");
    await until("the line after it", () => lines().at(-1)?.msg === "the last line");
  },
);

test.each([
  ["an exit", "exit", 3],
  ["a crash", "throw", 1],
])("what waits is written at %s", async (_, order, code) => {
  const count = 3000;
  const child = start(count);
  await logged(child);
  const lines = collect(child);
  child.stdin?.write(`${order}\n`);
  const [ended] = (await once(child, "close")) as readonly unknown[];
  expect(ended).toBe(code);
  expect(lines().map(({ i }) => i)).toEqual(Array.from({ length: count }, (_, i) => i));
});

test("an exit does not wait for somebody to read", async () => {
  const child = start(20_000);
  await logged(child);
  child.stdin?.write("exit\n");
  expect(await once(child, "exit")).toEqual([3, null]);
});
