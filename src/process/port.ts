import { createServer } from "node:net";

import { FailureError } from "../job/problem.js";

/** The port, or a free one for 0, after a look whether it can be had. FailureError: another process has it. */
export async function freePort(host: string, port: number, setting: string): Promise<number> {
  const found = await tryListen(host, port);
  if (typeof found === "number") return found;
  if (found.code === "EADDRINUSE")
    throw new FailureError(
      `port ${port} on ${host} is in use by another process; choose another ${setting} or stop that process`,
    );
  throw new FailureError(`cannot listen on ${host}:${port}: ${found.message}`);
}

/** A port of this machine that nobody listens on now. */
export function anyPort(): Promise<number> {
  return freePort("127.0.0.1", 0, "port");
}

export async function canListen(host: string, port: number): Promise<boolean> {
  return typeof (await tryListen(host, port)) === "number";
}

function tryListen(host: string, port: number): Promise<number | NodeJS.ErrnoException> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error));
    server.listen(port, host, () => {
      const address = server.address();
      const bound = typeof address === "object" && address !== null ? address.port : port;
      server.close(() => resolve(bound));
    });
  });
}
