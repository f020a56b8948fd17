/**
 * A socket in a folder that tells that its process lives: it ends with the process, however that ended, and whoever sees the folder
 * can ask, also from another container, where process ids mean nothing.
 */
import { closeSync, openSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { codeOf } from "../job/problem.js";

/** Systems differ; 103 is the least of Linux and macOS. */
const pathBytesMax = 103;

/** Listens at `name` in the folder. Throws as the file system does, EADDRINUSE where there is a file of that name. */
export async function liveSocket(folder: string, name: string): Promise<Server> {
  const server = listenAt(folder, name);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", resolve);
  });
  return server;
}

/** The same at once: the server listens when this returns, or `listening` is false and an "error" follows. */
export function listenAt(folder: string, name: string): Server {
  return shortPath(folder, name, (path) =>
    // Whoever asks is let go: a queue that is full would look like a process that has ended. Nothing that keeps the process alive.
    createServer((socket) => socket.destroy())
      .listen({ path })
      .unref(),
  );
}

/** Whether a process listens there. Where that cannot be told, one does. */
export async function isLive(folder: string, name: string): Promise<boolean> {
  const ask = (path: string): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(path);
      const answer = (lives: boolean): void => {
        socket.destroy();
        resolve(lives);
      };
      socket.once("connect", () => answer(true));
      socket.once("error", (error) => answer(!isNobody(error)));
    });
  try {
    return await shortPath(folder, name, ask);
  } catch (error) {
    return !isNobody(error);
  }
}

function isNobody(error: unknown): boolean {
  const code = codeOf(error);
  return code === "ECONNREFUSED" || code === "ENOENT" || code === "ENOTDIR";
}

/** The kernel takes no long path for a socket, but one that begins at an open folder. `use` needs the path only until it returns. */
function shortPath<T>(folder: string, name: string, use: (path: string) => T): T {
  const path = join(folder, name);
  if (Buffer.byteLength(path) <= pathBytesMax) return use(path);
  const opened = openSync(folder, "r");
  try {
    return use(`/proc/self/fd/${opened}/${name}`);
  } finally {
    closeSync(opened);
  }
}
