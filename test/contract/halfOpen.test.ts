import { afterEach, describe, expect, test } from "vitest";
import type { WorkerEvent } from "../../src/control/message.js";
import { connectFrames } from "../../src/link/nats.js";
import type { FrameLink, LinkStatus } from "../../src/link/frameLink.js";
import { Sessions } from "../../coordinator/sessions.js";
import type { Store } from "../../src/store/store.js";
import { BlackHole } from "../support/blackHole.js";
import { until } from "../support/fleetProcesses.js";
import { ScriptedWorker } from "../support/scriptedWorker.js";
import { serve } from "./grpcFixture.js";
import { NatsProcess } from "./natsProcess.js";

const cleanUps: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

// The worker of these tests is given no job.
const noStore = {} as unknown as Store;

/** A coordinator's end that welcomes and answers beats, behind a proxy, and a worker that has joined. */
async function joined(): Promise<{
  readonly proxy: BlackHole;
  readonly worker: ScriptedWorker;
  readonly heard: { readonly kind: WorkerEvent["kind"]; readonly atMs: number }[];
  /** When it was seen to be gone. */
  readonly gone: number[];
}> {
  const heard: { readonly kind: WorkerEvent["kind"]; readonly atMs: number }[] = [];
  const gone: number[] = [];
  const sessions = new Sessions({
    onEvent: (_, incarnation, event) => {
      heard.push({ kind: event.kind, atMs: performance.now() });
      const nats = { url: "", user: "", secret: "" };
      if (event.kind === "hello") {
        const times = { leaseMs: 5_000, beatMs: 500 };
        sessions.send(1, incarnation, { kind: "welcome", ...times, nats, store: "" });
      }
      if (event.kind === "beat") sessions.send(1, incarnation, { kind: "heard" });
    },
    onDisconnected: () => gone.push(performance.now()),
  });
  const server = await serve({}, { onSession: (one) => sessions.attach(one) });
  cleanUps.push(() => server.close("the test is over"));
  const proxy = await BlackHole.before(server.port);
  cleanUps.push(() => proxy.close());
  const worker = new ScriptedWorker({
    ...{ id: "w", address: `127.0.0.1:${proxy.port}`, store: noStore },
  });
  cleanUps.push(() => worker.kill());
  await until("beats", () => heard.filter(({ kind }) => kind === "beat").length >= 2);
  return { proxy, worker, heard, gone };
}

describe("a worker's stream", () => {
  test.each(["toServer", "toClient"] as const)(
    "of which the direction %s falls silent is replaced within a lease, over a new connection",
    async (direction) => {
      const { proxy, worker, heard, gone } = await joined();
      const mutedMs = performance.now();
      proxy.mute(direction);
      await until(
        "a second hello",
        () => heard.filter(({ kind }) => kind === "hello").length === 2,
      );
      expect(performance.now() - mutedMs).toBeLessThan(5_000);
      expect(worker.ends.map(({ reason }) => reason)).toEqual(["no beat was answered for 3000 ms"]);
      // To the coordinator it was never away: its lease is five seconds.
      const times = [mutedMs, ...heard.map(({ atMs }) => atMs).filter((atMs) => atMs > mutedMs)];
      const gaps = times.slice(1).map((atMs, i) => atMs - (times[i] ?? 0));
      expect(Math.max(...gaps)).toBeLessThan(4_500);
      const helloMs = heard.findLast(({ kind }) => kind === "hello")?.atMs ?? Infinity;
      // What the worker has closed the coordinator sees only where it hears the worker; it waits a second then.
      for (const goneMs of gone) expect(helloMs - goneMs).toBeLessThan(1_000);
      if (direction === "toServer") expect(gone).toEqual([]);
      // The old connection is not kept for as long as TCP believes in it.
      await until("its end", () => proxy.open === 1, 2_000);
    },
    30_000,
  );

  test("on which all is well is kept", async () => {
    const { worker, heard } = await joined();
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    expect(worker.ends).toEqual([]);
    expect(heard.filter(({ kind }) => kind === "hello")).toHaveLength(1);
  });
});

describe("a link to NATS", () => {
  async function linked(): Promise<{
    readonly nats: NatsProcess;
    readonly proxy: BlackHole;
    readonly link: FrameLink;
    readonly statuses: LinkStatus["kind"][];
  }> {
    const nats = await NatsProcess.start();
    cleanUps.push(() => nats.remove());
    const proxy = await BlackHole.before(Number(new URL(nats.url).port));
    cleanUps.push(() => proxy.close());
    const statuses: LinkStatus["kind"][] = [];
    const link = await connectFrames({
      ...{ url: `nats://127.0.0.1:${proxy.port}`, address: "a-1" },
      onFrame: () => undefined,
      onStatus: ({ kind }) => statuses.push(kind),
    });
    cleanUps.push(() => link.close());
    await link.flush();
    return { nats, proxy, link, statuses };
  }

  test.each(["toServer", "toClient"] as const)(
    "of which the direction %s falls silent is given up in three seconds, and stands again",
    async (direction) => {
      const { proxy, link, statuses } = await linked();
      const mutedMs = performance.now();
      proxy.mute(direction);
      await until("it is noticed", () => statuses.includes("disconnected"));
      expect(performance.now() - mutedMs).toBeLessThan(3_000);
      await until("it stands again", () => statuses.includes("reconnected"));
      expect(performance.now() - mutedMs).toBeLessThan(4_000);
      await link.flush();
      expect(link.roundTripAgeMs()).toBeLessThan(1_000);
    },
    30_000,
  );

  test("to a server that stands still is given up, tried for ever, and stands when it goes on", async () => {
    const { nats, link, statuses } = await linked();
    const stoppedMs = performance.now();
    nats.pause();
    await until("it is noticed", () => statuses.includes("disconnected"));
    expect(performance.now() - stoppedMs).toBeLessThan(3_000);
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    expect(link.isConnected).toBe(false);
    nats.unpause();
    const wokenMs = performance.now();
    await until("it stands again", () => link.isConnected);
    expect(performance.now() - wokenMs).toBeLessThan(3_000);
  }, 30_000);
});
