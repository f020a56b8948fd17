import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ignoresHangUp } from "../../src/process/hangUp.js";
import { anyPort } from "../../src/process/port.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { until } from "../support/fleetProcesses.js";
import { Mark } from "../support/marked.js";

let folder: string;
let mark: Mark;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "bitfleet-hang-up-"));
  mark = new Mark();
});

afterEach(async () => {
  await mark.kill();
  await rm(folder, { recursive: true, force: true });
});

async function isReady(httpPort: number): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${httpPort}/readyz`).catch(() => undefined);
  return answer?.status === 200;
}

/** The line of a shell in a terminal that starts the command "$@", what then happens to the shell, and whether the fleet stays. */
test.each([
  ["ends with the terminal in which it runs", '"$@"; true', false],
  ["stays where nohup started it", 'nohup "$@"; true', true],
  ["stays where the shell ignores SIGHUP", 'trap "" HUP; "$@"; true', true],
])(
  "`up` %s",
  async (_, line, stays) => {
    const httpPort = await anyPort();
    const ports = ["--port", String(await anyPort()), "--http-port", String(httpPort)];
    const main = join(packageRoot(), "dist/src/cli/main.js");
    const up = [main, "up", "--workers", "1", "--home", join(folder, "home"), ...ports];
    const pty = "import pty, sys; pty.spawn(sys.argv[1:])";
    const terminal = spawn(
      "python3",
      ["-c", pty, "/bin/sh", "-c", line, "sh", process.execPath, ...up],
      {
        cwd: folder,
        env: { ...process.env, ...mark.environment, NATS_URL: "" },
        stdio: ["ignore", "ignore", "inherit"],
      },
    );
    const worker = join(folder, "home/logs/worker-1.log");
    const joined = async (): Promise<boolean> =>
      (await readFile(worker, "utf8").catch(() => "")).includes("joined the fleet");
    await until("the fleet", async () => (await isReady(httpPort)) && (await joined()));
    const parts = [...(await mark.found())].filter(([, text]) => text.startsWith(process.execPath));
    expect(parts.length, "up, a coordinator and a worker").toBe(3);

    const closed = once(terminal, "exit");
    terminal.kill("SIGKILL");
    await closed;
    if (!stays) {
      await until("the end of all", async () => (await mark.found()).size === 0);
      expect(await readFile(worker, "utf8")).toContain("left the fleet");
      return;
    }
    // As whoever closes a session may do with all that is in it.
    for (const [pid] of parts) process.kill(pid, "SIGHUP");
    await sleep(3000);
    expect(await isReady(httpPort)).toBe(true);
    const left = await mark.found();
    expect(parts.filter(([pid]) => !left.has(pid))).toEqual([]);
    const log = await readFile(worker, "utf8");
    expect(log.match(/joined the fleet/g)).toHaveLength(1);
  },
  120_000,
);

test("what a process ignores is read from its status", () => {
  expect(ignoresHangUp("Name:\tsh\nSigIgn:\t0000000000000001\n")).toBe(true);
  expect(ignoresHangUp("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n")).toBe(false);
  expect(ignoresHangUp("")).toBe(false);
});
