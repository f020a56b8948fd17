import type { ChildCommand, ChildEvent } from "../src/control/memberEvent.js";
import type { ChildNews } from "./childNews.js";
import { parseFailpoints } from "./failpoint.js";
import { failureOf } from "./failure.js";
import { exitBeforeReady } from "./faults.js";
import { JobChild } from "./jobChild.js";
import { removeScratch } from "./scratch.js";

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

const fail = (error: unknown): void => {
  const { cause, message } = failureOf(error);
  send({ kind: "failed", cause, message });
};

/** `process.exit` waits for threads, and a wedged kernel never gives one back. */
function killSelf(): void {
  removeScratch(process.pid);
  process.kill(process.pid, "SIGKILL");
}

const failpoints = parseFailpoints(process.env["BITFLEET_FAILPOINTS"]);
exitBeforeReady(failpoints);
const child = new JobChild(send, fail, failpoints, process.env);

process.on("message", (command: ChildCommand) => {
  if (command.kind !== "close") {
    child.handle(command);
    return;
  }
  // What is computing now is not waited for: it may take minutes, and nobody wants it any more.
  void child.close().finally(() => (child.isComputing ? killSelf() : process.exit(0)));
});
process.on("disconnect", () => {
  setTimeout(killSelf, closeMs);
  void child.close().finally(killSelf);
});
process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
// A terminal's Ctrl-C reaches the whole group; the supervisor says when this process ends.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => undefined);

send({ kind: "ready" });
