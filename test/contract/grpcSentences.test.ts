import { afterEach, describe, expect, test } from "vitest";
import { connect } from "../../src/client/client.js";
import { isWellFormed, wellFormed } from "../../src/job/cutText.js";
import { ConfigError, FailureError } from "../../src/job/problem.js";
import { openSession } from "../../src/link/grpcClient.js";
import { failureOf } from "../support/failureOf.js";
import { events } from "../unit/wireValues.js";
import { addressOf, jobStatus, serve } from "./grpcFixture.js";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const smile = "😀";

describe.each([
  ["a sentence with a pair where it is cut", `x${smile.repeat(1500)}`],
  ["a sentence of twelve bytes a character in the header", smile.repeat(100_000)],
  ["a sentence with half a pair of its own", "a\ud83d b\ude00"],
  ["a sentence with line breaks, zeros and percent signs", "100 %\n \u0000 ".repeat(3_000)],
])("%s", (_, text) => {
  function expectTold(told: string): void {
    expect(isWellFormed(told)).toBe(true);
    expect(encodeURI(told).length).toBeLessThanOrEqual(4096);
    expect(encodeURI(told).length).toBeGreaterThan(
      Math.min(encodeURI(wellFormed(text)).length, 4070) - 1,
    );
    expect(wellFormed(text).startsWith(told.replace(/…$/, ""))).toBe(true);
  }

  test("is told to a client as far as it fits, and the server goes on", async () => {
    const server = await serve({
      getJob: async () => {
        throw new ConfigError(text);
      },
      watchJob: async function* () {
        yield jobStatus();
        throw new ConfigError(text);
      },
      predict: async () => {
        throw new FailureError(text);
      },
      cancelJob: async () => jobStatus(),
    });
    const client = connect({ address: addressOf(server) });
    closers.push(
      () => server.close("test over"),
      () => client.close(),
    );
    const told = await failureOf(client.job("digits"));
    expectTold(told);
    const watched = async (): Promise<void> => {
      for await (const { name } of client.watch("digits")) expect(name).toBe("digits");
    };
    expect(await failureOf(watched())).toBe(told);
    expectTold(await failureOf(client.predict("digits", [import.meta.filename])));
    expect((await client.cancel("digits")).name).toBe("digits");
  });

  test("ends a worker's stream, and the server goes on", async () => {
    const server = await serve(
      { cancelJob: async () => jobStatus() },
      { onSession: (session) => session.onEvent(() => session.close(text)) },
    );
    const client = connect({ address: addressOf(server) });
    closers.push(
      () => server.close("test over"),
      () => client.close(),
    );
    const ended = new Promise<string>((resolve) => {
      const session = openSession({
        address: addressOf(server),
        token: "",
        onCommand: () => undefined,
        onClosed: resolve,
      });
      for (const event of events.slice(0, 1)) session.send(event);
    });
    expectTold(await ended);
    expect((await client.cancel("digits")).name).toBe("digits");
  });

  test("ends every stream of a server that closes", async () => {
    const server = await serve({
      watchJob: async function* (_name, signal) {
        yield jobStatus();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      },
    });
    const client = connect({ address: addressOf(server) });
    closers.push(() => client.close());
    const stop = new AbortController();
    for await (const { name } of client.watch("digits", { signal: stop.signal })) {
      expect(name).toBe("digits");
      await server.close(text);
      stop.abort();
    }
  });
});
