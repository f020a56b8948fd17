import { createHash } from "node:crypto";
import { connect, createServer, type Server } from "node:net";
import { mkdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { FailureError } from "../src/job/problem.js";

/** Systems differ; 103 is the least of Linux and macOS. */
const pathBytesMax = 103;

/**
 * Holds a state folder for this process: two nats-servers on one folder would ruin each other's files. The claim is a socket
 * that somebody listens on, so it ends with its process, however that ended.
 * FailureError: another coordinator runs on the folder.
 */
export async function claimHome(home: string): Promise<{ release(): Promise<void> }> {
  await mkdir(home, { recursive: true, mode: 0o700 });
  const path = socketPath(home);
  if (await answers(path))
    throw new FailureError(
      `another coordinator runs on ${home}; stop it, or choose another BITFLEET_HOME`,
    );
  await rm(path, { force: true });
  const server = await listen(path, home);
  // Held for the life of the process, but nothing that keeps it alive.
  server.unref();
  return {
    release: () => new Promise((resolve) => server.close(() => resolve())),
  };
}

/** In the home itself where that is short enough for the path of a socket. */
function socketPath(home: string): string {
  const path = join(home, "coordinator.sock");
  if (Buffer.byteLength(path) <= pathBytesMax) return path;
  const digest = createHash("sha256").update(home).digest("hex").slice(0, 16);
  return join(tmpdir(), `bitfleet-${process.getuid?.() ?? 0}-${digest}.sock`);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

function listen(path: string, home: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error) =>
      reject(new FailureError(`cannot claim ${home} for this coordinator: ${error.message}`)),
    );
    server.listen(path, () => resolve(server));
  });
}
