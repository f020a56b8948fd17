import type { ChildCommand, ChildEvent } from "../src/control/memberEvent.js";
import type { ChildNews } from "./childNews.js";
import type { ComputeCalls } from "./computeThread.js";
import { onStarterGone } from "../src/process/starterGone.js";
import { removeOwnTemporary } from "../src/process/temporaryFolder.js";
import { parseFailpoints } from "./failpoint.js";
import { exitBeforeReady } from "./faults.js";
import type { JobChild } from "./jobChild.js";
import type { LoaderCalls } from "./loaderThread.js";
import { Thread } from "./thread.js";

/**
 * The process of one job on one worker. Its main thread talks to the supervisor and exchanges
 * gradients with other workers, and never blocks; TensorFlow and the decoding of pictures have
 * threads of their own. Cancel, out of memory and a wedged kernel end the whole process, which is
 * the only way to get a device back.
 */
/** What leaving nothing behind may take once the supervisor is gone. */
const closeMs = 1_000;

const send = (event: ChildEvent | ChildNews): void => {
  if (process.connected) process.send?.(event);
};

/** `process.exit` waits for threads, and a wedged kernel never gives one back. */
function killSelf(): void {
  removeOwnTemporary();
  process.kill(process.pid, "SIGKILL");
}

if (!process.connected) killSelf();
onStarterGone(() => {
  setTimeout(killSelf, closeMs);
  void starting.then((job) => job.close()).finally(killSelf);
});
// A terminal's Ctrl-C reaches the whole group; the supervisor says when this process ends.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => undefined);
process.on("SIGHUP", () => undefined);

const failpoints = parseFailpoints(process.env["BITFLEET_FAILPOINTS"]);
exitBeforeReady(failpoints);
const starting = start();

/** The threads load what they need, TensorFlow above all, while this one loads the rest. */
async function start(): Promise<JobChild> {
  const threads = {
    compute: new Thread<ComputeCalls>(new URL("computeThread.js", import.meta.url)),
    loader: new Thread<LoaderCalls>(new URL("loaderThread.js", import.meta.url)),
  };
  // Why it cannot be loaded is met again by whoever builds on it.
  threads.compute.call("load", undefined).catch(() => undefined);
  const [{ JobChild }, { failureOf }] = await Promise.all([
    import("./jobChild.js"),
    import("./failure.js"),
  ]);
  const fail = (error: unknown): void => {
    const { cause, message } = failureOf(error);
    send({ kind: "failed", cause, message });
  };
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  const job = new JobChild({ threads, send, fail, failpoints, variables: process.env });
  // What the supervisor has said by now was kept for the first listener.
  process.on("message", (command: ChildCommand) => {
    if (command.kind !== "close") {
      job.handle(command);
      return;
    }
    // What is computing now is not waited for: it may take minutes, and nobody wants it any more.
    void job.close().finally(() => (job.isComputing ? killSelf() : process.exit(0)));
  });
  send({ kind: "ready" });
  return job;
}
