import { afterEach, expect, test } from "vitest";

import { JobLogs } from "../../coordinator/logs.js";
import { Loop } from "../../coordinator/loop.js";
import { fleetTimes } from "../../src/control/fleetEvent.js";
import type { Task, WorkerCommand, WorkerEvent } from "../../src/control/message.js";
import { ConfigError } from "../../src/job/problem.js";
import type { WorkerSession } from "../../src/link/service.js";
import { createLogger } from "../../src/process/logger.js";
import { workerCommand } from "../../src/wire/workerCommand.js";

const stop = new AbortController();
let loop: Loop | undefined;
afterEach(() => loop?.stop());

function emptyLoop(): Loop {
  const stream = {
    append: async (_topic: string, _line: Uint8Array, after: number) => after + 1,
    remove: async () => undefined,
    last: async () => undefined,
    read: async () => ({ lines: [], end: true }),
  };
  const logs = new JobLogs(stream, {
    ...{ signal: stop.signal, term: () => 1, onDeposed: () => undefined },
  });
  loop = new Loop({
    fleet: {
      ...fleetTimes,
      ...{ term: 1, nats: { url: "", user: "", secret: "" }, store: "", joinLine: "" },
    },
    memory: {
      ...{ found: [], halfRemoved: [], unreadable: new Map(), logged: new Map(), logs },
      store: async () => undefined,
      put: () => undefined,
      remove: async () => undefined,
      writeAgain: () => undefined,
      flush: async () => undefined,
    },
    logger: createLogger({ process: "test" }, "silent"),
    discard: () => undefined,
    onFatal: (error) => {
      throw error;
    },
    onHigherTerm: async (term) => ({ term: term + 1 }),
  });
  return loop;
}

test("a task that no worker would take fails at once with its sentence, and the stream stays", async () => {
  const sent: WorkerCommand[] = [];
  const ended: string[] = [];
  let say: (event: WorkerEvent) => void = () => undefined;
  const session: WorkerSession = {
    peer: "test",
    origin: { token: "", address: "127.0.0.1" },
    send: (term, command) => {
      workerCommand.encode({ term, command });
      sent.push(command);
    },
    close: (reason) => ended.push(reason),
    onEvent: (listener) => (say = listener),
    onClosed: () => undefined,
  };
  const asked = emptyLoop();
  asked.attach(session);
  say({
    ...{ kind: "hello", workerId: "w1", incarnation: "i1", host: "h", pid: 1, device: "CPU" },
    ...{ gpu: false, numerics: "cpu", term: 0, held: undefined },
  } as WorkerEvent);
  const task: Task = {
    ...{ kind: "predict", model: "R50x1", classes: 70_000, best: 5, crop: 32, threads: 1 },
    ...{ weights: "w.npz", pictures: ["p"] },
  };
  const outcome = asked.runTask(task, { signal: stop.signal });
  await expect(outcome).rejects.toThrow(
    new ConfigError("no worker can be told to task: classes 70000"),
  );
  expect(sent.map(({ kind }) => kind)).toEqual(["welcome"]);
  expect(ended).toEqual([]);
});
