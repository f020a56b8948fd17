import { createHash } from "node:crypto";
import { FailureError } from "../../src/job/problem.js";
import { checkName, type Chunks, type Store, type Stored } from "../../src/store/store.js";

/** A store for tests that try very many damages: `files` can be changed behind its back. */
export class MemoryStore implements Store {
  readonly files = new Map<string, Uint8Array>();

  async put(name: string, chunks: Chunks): Promise<Stored> {
    checkName(name);
    const parts: Uint8Array[] = [];
    for await (const chunk of chunks) parts.push(Uint8Array.from(chunk));
    const bytes = Buffer.concat(parts);
    this.files.set(name, bytes);
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return { sha256, bytes: bytes.length };
  }

  async putNew(name: string, chunks: Chunks): Promise<Stored | undefined> {
    if (this.files.has(name)) return undefined;
    const made = new MemoryStore();
    const stored = await made.put(name, chunks);
    const bytes = made.files.get(name);
    if (bytes === undefined || this.files.has(name)) return undefined;
    this.files.set(name, bytes);
    return stored;
  }

  async *get(name: string): AsyncIterable<Uint8Array> {
    checkName(name);
    const bytes = this.files.get(name);
    if (bytes === undefined) throw new FailureError(`${name} is not in the store in memory`);
    yield bytes;
  }

  async stat(name: string): Promise<{ readonly bytes: number } | undefined> {
    checkName(name);
    const bytes = this.files.get(name);
    return bytes === undefined ? undefined : { bytes: bytes.length };
  }

  async list(prefix: string): Promise<string[]> {
    if (prefix.includes("/")) checkName(prefix.slice(0, prefix.lastIndexOf("/")));
    return [...this.files.keys()].filter((name) => name.startsWith(prefix)).toSorted();
  }

  async delete(name: string): Promise<void> {
    checkName(name);
    this.files.delete(name);
  }
}
