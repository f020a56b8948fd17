import { execFileSync } from "node:child_process";
import { openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { threadId } from "node:worker_threads";

/** What failpoints do to the thread with TensorFlow. Nobody else calls these. */
export const computeFaults = {
  pause: (ms: number): void => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  },

  /** Throws as TensorFlow does. */
  exhaust: (): void => {
    throw new Error(
      "Session fail to run with error: 2 root error(s) found.\n" +
        "  (0) RESOURCE_EXHAUSTED: OOM when allocating tensor with shape[32,256,56,56] and type float " +
        "on /job:localhost/replica:0/task:0/device:GPU:0 by allocator GPU_0_bfc\n" +
        "\t [[{{node block1/unit1/conv1}}]]",
    );
  },

  /** Blocks outside JavaScript, as a wedged kernel does: not even `process.exit` ends it. */
  wedge: (): void => {
    const path = join(tmpdir(), `bitfleet-wedge-${process.pid}-${threadId}`);
    execFileSync("mkfifo", [path]);
    const pipe = openSync(path, "r+");
    rmSync(path);
    readSync(pipe, new Uint8Array(1));
  },
};
