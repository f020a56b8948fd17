/**
 * Lines to a stream that may have no reader: a pipe that nobody empties, a terminal that is stopped. A line is written before the
 * call returns wherever that can be done at once, as the last lines of a process that dies are the ones that matter. What cannot
 * waits, and beyond a bound is left out and counted: the work never waits for its audience.
 */
import { constants, openSync, writeSync } from "node:fs";
import { isatty } from "node:tty";
import { codeOf } from "../job/problem.js";

export interface OutputOptions {
  /** Left out, bytes that may wait: 1 MiB. */
  readonly bytesMax?: number;
  /** Told how many lines were left out, once lines go again. It may write. */
  readonly onDropped: (lines: number) => void;
}

const retryMs = 20;
const endMs = 500;

export class Output {
  readonly #fd: number;
  readonly #bytesMax: number;
  readonly #onDropped: (lines: number) => void;
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #retry: NodeJS.Timeout | undefined;

  /** `fd`: one that does not block (see unblocked). At the exit of the process it is given half a second for what waits. */
  constructor(fd: number, { bytesMax = 2 ** 20, onDropped }: OutputOptions) {
    this.#fd = fd;
    this.#bytesMax = bytesMax;
    this.#onDropped = onDropped;
    process.once("exit", () => this.flush(endMs));
  }

  write(line: string): void {
    if (this.#waiting.length > 0) this.#send();
    const bytes = Buffer.from(line);
    if (this.#waiting.length === 0) this.#tellDropped();
    // The first may wait whatever its length.
    const fits = this.#waiting.length === 0 || this.#waitingBytes + bytes.length <= this.#bytesMax;
    if (!fits) {
      this.#dropped += 1;
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    this.#send();
  }

  /** Tries to write what waits for so long, and does nothing else meanwhile. */
  flush(withinMs: number): void {
    const endsAtMs = performance.now() + withinMs;
    const clock = new Int32Array(new SharedArrayBuffer(4));
    this.#send();
    while (this.#waiting.length > 0 && performance.now() < endsAtMs) {
      Atomics.wait(clock, 0, 0, retryMs);
      this.#send();
    }
    if (this.#waiting.length === 0) this.#tellDropped();
  }

  #tellDropped(): void {
    const dropped = this.#dropped;
    this.#dropped = 0;
    if (dropped > 0) this.#onDropped(dropped);
  }

  #send(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const written = this.#tryWrite(first);
      this.#waitingBytes -= Math.min(written, first.length);
      if (written < first.length) {
        this.#waiting[0] = first.subarray(written);
        this.#sendLater();
        return;
      }
      this.#waiting.shift();
    }
  }

  /** How many bytes are done with; those of a line that cannot be written, as its reader is gone or the disk full, are too. */
  #tryWrite(bytes: Buffer): number {
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      if (codeOf(error) === "EAGAIN") return 0;
      this.#dropped += 1;
      return bytes.length;
    }
  }

  #sendLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#send();
      if (this.#waiting.length === 0) this.#tellDropped();
    }, retryMs).unref();
  }
}

/** A descriptor of standard output on which a write returns at once where it would wait. */
export function unblockedStdout(): number {
  // A description of our own: the terminal's is shared with the shell.
  if (isatty(1))
    try {
      return openSync(
        "/proc/self/fd/1",
        constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
      );
    } catch {
      return 1; // Another user's terminal.
    }
  // Node sets pipes and sockets so when it makes the stream. A file never has to wait for a reader.
  return process.stdout.fd;
}
