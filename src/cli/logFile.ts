/**
 * The log of a part, in a file that is put aside at a size and begun anew; what is put aside is kept a few times over. Whoever
 * renames or removes the file, as logrotate does, finds the next lines in a new one of the name.
 */
import { closeSync, fstatSync, openSync, renameSync, statSync, writeSync } from "node:fs";

export interface LogFileOptions {
  /** Left out, 10 MiB. */
  readonly bytesMax?: number;
  /** How many are kept beside the one in use, NAME.1 the youngest. Left out, 3. */
  readonly kept?: number;
  /** Left out, how long another one of the name may go unseen: a second. */
  readonly lookMs?: number;
}

export class LogFile {
  readonly #path: string;
  readonly #bytesMax: number;
  readonly #kept: number;
  readonly #lookMs: number;
  #fd: number | undefined;
  #bytes = 0;
  #lookedMs = 0;
  #dropped = 0;

  constructor(
    path: string,
    { bytesMax = 10 * 2 ** 20, kept = 3, lookMs = 1000 }: LogFileOptions = {},
  ) {
    this.#path = path;
    this.#bytesMax = bytesMax;
    this.#kept = kept;
    this.#lookMs = lookMs;
  }

  /** A full disk must not end the fleet: what cannot be written is left out, and a line says how much once it can. */
  write(line: string): void {
    try {
      const told =
        this.#dropped === 0
          ? ""
          : `${this.#dropped} lines were left out: they could not be written\n`;
      const bytes = Buffer.from(`${told}${line}\n`);
      const fd = this.#opened(bytes.length);
      writeSync(fd, bytes);
      this.#bytes += bytes.length;
      this.#dropped = 0;
    } catch {
      this.#dropped += 1;
      this.close();
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  /** The file of the name, with room for so many bytes. */
  #opened(bytes: number): number {
    if (this.#fd !== undefined && this.#isOther()) this.close();
    this.#fd ??= this.#open();
    if (this.#bytes === 0 || this.#bytes + bytes <= this.#bytesMax) return this.#fd;
    this.close();
    for (let i = this.#kept - 1; i > 0; i -= 1)
      rename(`${this.#path}.${i}`, `${this.#path}.${i + 1}`);
    rename(this.#path, `${this.#path}.1`);
    return (this.#fd = this.#open());
  }

  #open(): number {
    const fd = openSync(this.#path, "a", 0o600);
    this.#bytes = fstatSync(fd).size;
    this.#lookedMs = performance.now();
    return fd;
  }

  #isOther(): boolean {
    const nowMs = performance.now();
    if (this.#fd === undefined || nowMs - this.#lookedMs < this.#lookMs) return false;
    this.#lookedMs = nowMs;
    const [own, named] = [fstatSync(this.#fd), statSync(this.#path, { throwIfNoEntry: false })];
    // Somebody may also have cut it short.
    this.#bytes = own.size;
    return named?.ino !== own.ino || named.dev !== own.dev;
  }
}

function rename(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch {
    // It is not there yet.
  }
}
