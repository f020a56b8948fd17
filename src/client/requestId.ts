import { createHash } from "node:crypto";
import type { JobRequest } from "../job/settings.js";

/**
 * The same for the same settings, in whatever order: asked again, as after an answer that was lost, a submit is known for the one
 * that was made before, also by another process.
 */
export function requestIdOf(settings: JobRequest): string {
  const entries = Object.entries(settings).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify(Object.fromEntries(entries));
  return createHash("sha256").update(text).digest("hex").slice(0, 32);
}
