import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { connect, type BitfleetClient } from "../../src/client/client.js";
import { AssertionError, ConfigError, FailureError, NotFoundError } from "../../src/job/problem.js";
import { Channel } from "../../src/link/channel.js";
import { trainingMethods } from "../../src/link/methods.js";
import type { RunningServer, ServerOptions, TrainingHandlers } from "../../src/link/service.js";
import { UnreachableError } from "../../src/link/status.js";
import { oneToken } from "../../src/process/tokenBook.js";
import type { LogLine, PredictPart, SubmitRequest } from "../../src/wire/training.js";
import { addressOf, jobStatus, serve, settings } from "./grpcFixture.js";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function pair(
  training: Partial<TrainingHandlers>,
  options: Partial<ServerOptions> = {},
): Promise<{ server: RunningServer; client: BitfleetClient }> {
  const server = await serve(training, options);
  const client = connect({ address: addressOf(server) });
  closers.push(
    () => server.close("test over"),
    () => client.close(),
  );
  return { server, client };
}

function line(sequence: number): LogLine {
  return { sequence, timeMs: 1, level: "info", message: `line ${sequence}`, fields: { step: 3 } };
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("it did not fail");
}

describe("unary calls", () => {
  test("a submit arrives as it was made and its status comes back whole", async () => {
    const seen: SubmitRequest[] = [];
    const { client } = await pair({
      submit: async (request) => {
        seen.push(request);
        return jobStatus({ state: "queued" });
      },
    });
    const request = { name: "digits", model: "R50x1", data: "/d", steps: 0, drops: [0.25, 0.5] };
    expect(await client.submit(request, "request-1")).toEqual(jobStatus({ state: "queued" }));
    expect(seen).toEqual([{ settings: request, requestId: "request-1" }]);
  });

  test("a setting out of bounds is refused by the client itself, and by the server", async () => {
    const { client, server } = await pair({ submit: async () => jobStatus() });
    const bad = { name: "digits", model: "R50x1", data: "/d", batch: 0 };
    const sentence = "batch is 0, not a whole number from 1 to 65536";
    expect(await failureOf(client.submit(bad))).toEqual(new ConfigError(sentence));

    const channel = new Channel(addressOf(server), "");
    closers.push(() => channel.close());
    const raw = channel.unary(trainingMethods.submit, { settings: bad, requestId: "r" }, 5_000);
    expect(await failureOf(raw)).toEqual(new ConfigError(sentence));
  });

  test.each([
    ["a wrong request", new ConfigError("batch 7 is not divided by 32 shards"), ConfigError],
    ["an unknown job", new NotFoundError("there is no job called digits"), NotFoundError],
    ["a trouble outside", new FailureError("the store is full"), FailureError],
  ])("%s crosses the wire with its sentence and its kind", async (_, thrown, kind) => {
    const { client } = await pair({
      getJob: async () => {
        throw thrown;
      },
    });
    const failure = await failureOf(client.job("digits"));
    expect(failure).toBeInstanceOf(kind);
    expect(failure.message).toBe(thrown.message);
  });

  test("a bug of the coordinator is reported there and not told to the client", async () => {
    const errors: unknown[] = [];
    const bug = new AssertionError("secret inner state");
    const { client } = await pair(
      {
        getJob: () => {
          throw bug;
        },
      },
      { onError: (error) => errors.push(error) },
    );
    const failure = await failureOf(client.job("digits"));
    expect(failure).toBeInstanceOf(FailureError);
    expect(failure.message).toContain("internal error; see its log");
    expect(failure.message).not.toContain("secret");
    expect(errors).toEqual([bug]);
  });

  test("a call that is not answered in time fails with a sentence", async () => {
    const { server } = await pair({ listJobs: () => new Promise(() => undefined) });
    const channel = new Channel(addressOf(server), "");
    closers.push(() => channel.close());
    const failure = await failureOf(channel.unary(trainingMethods.listJobs, undefined, 100));
    expect(failure).toBeInstanceOf(UnreachableError);
    expect(failure.message).toBe(`the coordinator at ${addressOf(server)} did not answer in time`);
  });

  test("nobody listening is a sentence with the address", async () => {
    const server = await serve({});
    await server.close("gone");
    const client = connect({ address: addressOf(server) });
    closers.push(() => client.close());
    expect(await failureOf(client.jobs())).toEqual(
      new UnreachableError(
        `cannot reach the coordinator at ${addressOf(server)}: nothing listens there`,
      ),
    );
  });
});

describe("tokens", () => {
  const token = "a-secret-of-many-characters";

  test.each([
    ["no token", "", "none was given"],
    ["another token", "a-secret-of-many-characterz", "it is not the right one"],
    ["a shorter token", "a-secret", "it is not the right one"],
  ])("%s is refused on every kind of call", async (_, given, why) => {
    const server = await serve({}, { callers: oneToken(token) });
    const client = connect({ address: addressOf(server), token: given });
    closers.push(
      () => server.close("over"),
      () => client.close(),
    );
    const message = `the coordinator at ${addressOf(server)} refused the token: ${why}`;
    const failure = new FailureError(message);
    expect(await failureOf(client.jobs())).toEqual(failure);
    expect(await failureOf(collect(client.watch("digits")))).toEqual(failure);
    expect(await failureOf(client.predict("digits", [import.meta.filename]))).toEqual(failure);
  });

  test("the right token opens every call", async () => {
    const server = await serve({ listJobs: async () => [] }, { callers: oneToken(token) });
    const client = connect({ address: addressOf(server), token });
    closers.push(
      () => server.close("over"),
      () => client.close(),
    );
    expect(await client.jobs()).toEqual([]);
  });

  test("off loopback nothing is served without a token", async () => {
    const failure = await failureOf(serve({}, { host: "0.0.0.0" }));
    expect(failure).toEqual(
      new ConfigError(
        "listening on 0.0.0.0 needs a token: give a token file, or stay on 127.0.0.1",
      ),
    );
  });
});

test("a port in use is refused with its address", async () => {
  const { server } = await pair({});
  const failure = await failureOf(serve({}, { port: server.port }));
  expect(failure).toBeInstanceOf(FailureError);
  expect(failure.message).toBe(
    `127.0.0.1:${server.port} is in use by another process; choose another port or stop that process`,
  );
});

describe("streams", () => {
  test("a watch ends with the job", async () => {
    const { client } = await pair({
      async *watchJob() {
        yield jobStatus();
        yield jobStatus({ state: "done" });
      },
    });
    const states = (await collect(client.watch("digits"))).map(({ state }) => state);
    expect(states).toEqual(["training", "done"]);
  });

  test("an error in the middle of a stream comes after what was sent before it", async () => {
    const { client } = await pair({
      async *readLogs() {
        yield line(1);
        throw new FailureError("the log is gone");
      },
    });
    const seen: number[] = [];
    const read = async (): Promise<void> => {
      for await (const { sequence } of client.logs("digits")) seen.push(sequence);
    };
    expect(await failureOf(read())).toEqual(new FailureError("the log is gone"));
    expect(seen).toEqual([1]);
  });

  test("a reader that stops reading stops the handler, and is not waited for", async () => {
    let made = 0;
    let aborted = false;
    const { client } = await pair({
      async *readLogs(_, signal) {
        signal.addEventListener("abort", () => (aborted = true));
        for (;;) {
          made += 1;
          yield { ...line(made), message: "x".repeat(4000) };
          // Lets the connection work, so that a server that never waits fails this test rather than hangs it.
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
    });
    let seen = 0;
    for await (const { sequence } of client.logs("digits", { follow: true })) {
      seen = sequence;
      if (seen === 1) {
        await sleep(300);
        // What fits into the windows of a connection and the streams' buffers, and no more.
        expect(made).toBeLessThan(200);
      }
      if (seen === 400) break;
    }
    expect(made).toBeGreaterThanOrEqual(400);
    await expect.poll(() => aborted).toBe(true);
  });

  test("aborting a watch ends it without an error, and aborts the handler", async () => {
    let aborted = false;
    const { client } = await pair({
      async *watchJob(_, signal) {
        yield jobStatus();
        await new Promise<void>((resolve) =>
          signal.addEventListener("abort", () => {
            aborted = true;
            resolve();
          }),
        );
      },
    });
    const stop = new AbortController();
    const seen: string[] = [];
    for await (const { state } of client.watch("digits", { signal: stop.signal })) {
      seen.push(state);
      stop.abort();
    }
    expect(seen).toEqual(["training"]);
    await expect.poll(() => aborted).toBe(true);
  });

  test("following a log over restarts of the coordinator leaves no gap and repeats nothing", async () => {
    const lines = Array.from({ length: 30 }, (_, i) => line(i + 1));
    const calls: number[] = [];
    let end = false;
    const readLogs: TrainingHandlers["readLogs"] = async function* ({ afterSequence }, signal) {
      calls.push(afterSequence);
      // One line too early, as a server that counts otherwise might.
      const from = Math.max(0, afterSequence - 1);
      for (const next of lines.slice(from, end ? undefined : from + 10)) yield next;
      if (!end) await sleep(60_000, undefined, { signal }).catch(() => undefined);
    };
    let server = await serve({ readLogs });
    const { port } = server;
    const client = connect({ address: addressOf(server) });
    closers.push(
      () => server.close("over"),
      () => client.close(),
    );
    const seen: number[] = [];
    for await (const { sequence } of client.logs("digits", { follow: true })) {
      seen.push(sequence);
      if (sequence === 10 || sequence === 19) {
        await server.close("restarting");
        end = sequence === 19;
        server = await serve({ readLogs }, { port });
      }
    }
    expect(seen).toEqual(lines.map(({ sequence }) => sequence));
    expect(calls).toEqual([0, 10, 19]);
  });

  test("closing the server tells a stream that the coordinator leaves", async () => {
    const { server } = await pair({
      async *watchJob(_, signal) {
        yield jobStatus();
        await sleep(60_000, undefined, { signal });
      },
    });
    const channel = new Channel(addressOf(server), "");
    closers.push(() => channel.close());
    const stream = channel.serverStream(trainingMethods.watchJob, "digits");
    expect((await stream.next()).done).toBe(false);
    const beganMs = performance.now();
    const [failure] = await Promise.all([
      failureOf(stream.next()),
      server.close("is shutting down"),
    ]);
    expect(failure).toEqual(
      new UnreachableError(`the coordinator at ${addressOf(server)} is shutting down`),
    );
    expect(performance.now() - beganMs).toBeLessThan(2_000);
  });
});

describe("pictures", () => {
  test("pictures arrive in order and whole, and the predictions come back", async () => {
    const parts: PredictPart[] = [];
    const { client } = await pair({
      predict: async (received) => {
        parts.push(...(await collect(received)));
        return [{ picture: "a", scores: [{ className: "five", probability: 0.75 }] }];
      },
    });
    const file = import.meta.filename;
    expect(await client.predict("digits", [file, file])).toEqual([
      { picture: "a", scores: [{ className: "five", probability: 0.75 }] },
    ]);
    expect(parts[0]?.job).toBe("digits");
    expect(parts.map(({ picture }) => picture).filter((name) => name !== "")).toEqual([file, file]);
  });

  test("an answer before the end of the upload ends the upload", async () => {
    const { server } = await pair({
      predict: async () => {
        throw new NotFoundError("there is no job called digits");
      },
    });
    const channel = new Channel(addressOf(server), "");
    closers.push(() => channel.close());
    let left = false;
    const endless = async function* (): AsyncGenerator<PredictPart> {
      try {
        for (;;) yield { job: "", picture: "", data: new Uint8Array(500_000) };
      } finally {
        left = true;
      }
    };
    const answer = channel.clientStream(trainingMethods.predict, endless(), 10_000);
    expect(await failureOf(answer)).toEqual(new NotFoundError("there is no job called digits"));
    await expect.poll(() => left).toBe(true);
  });

  test("a file that is not there is named before anything is sent", async () => {
    const { client } = await pair({});
    expect(await failureOf(client.predict("digits", ["/no/such.png"]))).toEqual(
      new ConfigError("cannot read /no/such.png"),
    );
  });
});

test("an evaluation is a job of no steps from the other job's weights, under the first free name", async () => {
  const seen: SubmitRequest[] = [];
  const { client } = await pair({
    getJob: async () => jobStatus({ state: "done" }),
    listJobs: async () => [jobStatus(), jobStatus({ name: "digits-evaluate-1" })],
    submit: async (request) => {
      seen.push(request);
      return jobStatus({ name: request.settings.name, state: "queued" });
    },
  });
  expect((await client.evaluate("digits", "/data/other")).name).toBe("digits-evaluate-2");
  const { steps, weights, validation, crop, drops } = seen[0]?.settings ?? settings;
  expect({ steps, weights, validation, crop, drops }).toEqual({
    steps: 0,
    weights: "job:digits",
    validation: "/data/other",
    crop: 32,
    drops: undefined,
  });
});
