/**
 * One life of a worker process has a name that others know, since frames are sent to it, and a secret that only it and the
 * coordinator do. The name is the secret's hash: so nobody else can open a stream under it, to whichever coordinator.
 */
import { createHash, randomBytes } from "node:crypto";

export function newSecret(): string {
  return randomBytes(24).toString("hex");
}

export function incarnationOf(secret: string): string {
  return createHash("sha256").update(`incarnation ${secret}`).digest("hex").slice(0, 32);
}
