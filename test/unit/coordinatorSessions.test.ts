import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { Sessions } from "../../coordinator/sessions.js";
import { Tasks } from "../../coordinator/tasks.js";
import type { Task, WorkerCommand, WorkerEvent } from "../../src/control/message.js";
import { ConfigError, FailureError } from "../../src/job/problem.js";
import type { WorkerSession } from "../../src/link/service.js";

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

/** One end of a stream, in memory. */
class Stream implements WorkerSession {
  readonly peer = "memory";
  readonly origin = { token: "", address: "memory" };
  readonly sent: (readonly [number, string])[] = [];
  closed: string | undefined;
  #onEvent: (event: WorkerEvent) => void = () => undefined;
  #onClosed: (reason: string) => void = () => undefined;

  send(term: number, command: WorkerCommand): void {
    this.sent.push([term, command.kind]);
  }

  close(reason: string): void {
    if (this.closed !== undefined) return;
    this.closed = reason;
    queueMicrotask(() => this.#onClosed(reason));
  }

  onEvent(listener: (event: WorkerEvent) => void): void {
    this.#onEvent = listener;
  }

  onClosed(listener: (reason: string) => void): void {
    this.#onClosed = listener;
  }

  say(event: WorkerEvent): void {
    this.#onEvent(event);
  }
}

const hello = (workerId: string, incarnation: string): WorkerEvent => ({
  ...{
    kind: "hello",
    workerId,
    incarnation,
    secret: "s",
    host: "h",
    pid: 1,
    device: "",
    gpu: false,
  },
  ...{ numerics: "n", term: 0, held: undefined },
});
const beat: WorkerEvent = {
  ...{ kind: "beat", phase: "", waitingFor: [], natsAgeMs: -1, shardsDone: 0, residentBytes: 0 },
  ...{ childSilentMs: -1, unitMs: -1 },
};
const released: WorkerEvent = { kind: "released", job: "j" };

function listen(): { readonly sessions: Sessions; readonly heard: readonly string[] } {
  const heard: string[] = [];
  const sessions = new Sessions({
    onEvent: (workerId, incarnation, event) =>
      heard.push(`${workerId}/${incarnation} ${event.kind}`),
    onDisconnected: (workerId, incarnation) => heard.push(`${workerId}/${incarnation} gone`),
  });
  return { sessions, heard };
}

test("a stream begins with hello, is heard in order, and its end is told once", async () => {
  const { sessions, heard } = listen();
  const stream = new Stream();
  sessions.attach(stream);
  stream.say(hello("w", "i"));
  stream.say(beat);
  sessions.send(3, "i", { kind: "spare", reason: "" });
  stream.close("cut");
  await Promise.resolve();
  expect(heard).toEqual(["w/i hello", "w/i beat", "w/i gone"]);
  expect(stream.sent).toEqual([[3, "spare"]]);
  sessions.send(3, "i", { kind: "spare", reason: "" });
  expect(stream.sent).toHaveLength(1);
});

test("a stream that begins with anything else, or says hello twice, is closed and not heard", () => {
  const { sessions, heard } = listen();
  const [rude, twice] = [new Stream(), new Stream()];
  sessions.attach(rude);
  rude.say(beat);
  sessions.attach(twice);
  twice.say(hello("w", "i"));
  twice.say(hello("w", "i"));
  expect([rude.closed, twice.closed]).toEqual([
    "a stream begins with hello, and has only one",
    "a stream begins with hello, and has only one",
  ]);
  expect(heard).toEqual(["w/i hello"]);
});

test("a stream that says nothing is closed after ten seconds, one that said hello is not", () => {
  const { sessions } = listen();
  const [silent, good] = [new Stream(), new Stream()];
  sessions.attach(silent);
  sessions.attach(good);
  good.say(hello("w", "i"));
  vi.advanceTimersByTime(9_999);
  expect(silent.closed).toBeUndefined();
  vi.advanceTimersByTime(1);
  expect([silent.closed, good.closed]).toEqual(["no hello came", undefined]);
});

test("of two streams of one incarnation only the newer is heard, and the older's end says nothing", async () => {
  const { sessions, heard } = listen();
  const [older, newer] = [new Stream(), new Stream()];
  sessions.attach(older);
  sessions.attach(newer);
  older.say(hello("w", "i"));
  newer.say(hello("w", "i"));
  older.say(released);
  await Promise.resolve();
  newer.say(beat);
  expect(older.closed).toContain("newer stream");
  expect(heard).toEqual(["w/i hello", "w/i hello", "w/i beat"]);
  sessions.close("i", "enough");
  await Promise.resolve();
  expect([newer.closed, heard.at(-1)]).toEqual(["enough", "w/i gone"]);
});

const task: Task = { kind: "index", settings: { name: "j", model: "R50x1", data: "/d" } };

test("a task is answered by its result, or by an error whose kind says who is at fault", async () => {
  const started: string[] = [];
  const tasks = new Tasks(
    (id) => started.push(id),
    () => undefined,
  );
  const progress: string[] = [];
  const signal = new AbortController().signal;
  const good = tasks.run(task, {
    signal,
    onProgress: (done, total) => progress.push(`${done}/${total}`),
  });
  const bad = tasks.run(task, { signal });
  const broken = tasks.run(task, { signal });
  const [first = "", second = "", third = ""] = started;
  tasks.progress(first, 3, 9);
  tasks.done(first, "result");
  tasks.done(first, "again");
  tasks.failed(second, "data", "no such folder");
  tasks.failed(third, "exit", "it crashed");
  expect(await good).toBe("result");
  expect(progress).toEqual(["3/9"]);
  await expect(bad).rejects.toThrow(new ConfigError("no such folder"));
  await expect(bad).rejects.toBeInstanceOf(ConfigError);
  await expect(broken).rejects.toBeInstanceOf(FailureError);
});

test("a task that nobody waits for any more is cancelled", async () => {
  const cancelled: string[] = [];
  const started: string[] = [];
  const tasks = new Tasks(
    (id) => started.push(id),
    (id) => cancelled.push(id),
  );
  const controller = new AbortController();
  const running = tasks.run(task, { signal: controller.signal });
  controller.abort();
  await expect(running).rejects.toBeInstanceOf(FailureError);
  expect(cancelled).toEqual(started);
});
