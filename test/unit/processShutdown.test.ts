import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";

import { ConfigError, FailureError } from "../../src/job/problem.js";
import { Shutdown, verdict } from "../../src/process/shutdown.js";

test("clean-ups run in reverse order, and one that fails does not keep the others from it", async () => {
  const shutdown = new Shutdown();
  const order: string[] = [];
  shutdown.add("first", () => void order.push("first"));
  shutdown.add("second", () => {
    order.push("second");
    throw new Error("no disk");
  });
  shutdown.add("third", async () => {
    await sleep(20);
    order.push("third");
  });
  expect(await shutdown.cleanUp()).toEqual(["second: no disk"]);
  expect(order).toEqual(["third", "second", "first"]);
  expect(await shutdown.cleanUp()).toEqual([]);
});

test("a clean-up that hangs is left behind at the deadline, and the rest still runs", async () => {
  const shutdown = new Shutdown();
  let ran = false;
  shutdown.add("quick", () => void (ran = true));
  shutdown.add("stuck", () => new Promise(() => undefined));
  expect(await shutdown.cleanUp(50)).toEqual(["stuck: stuck did not end within 50 ms"]);
  expect(ran).toBe(true);
});

test("whoever waits for the end is told, before and after", async () => {
  const shutdown = new Shutdown();
  const waiting = shutdown.requested();
  shutdown.begin(new Error("first reason"));
  shutdown.begin(new Error("second reason"));
  await waiting;
  await shutdown.requested();
  expect(shutdown.signal.reason).toEqual(new Error("first reason"));
});

test("who wants to hear of a second signal is told once, and the third one is as any other", () => {
  const shutdown = new Shutdown();
  expect(shutdown.hurry()).toBe(false);
  let told = 0;
  shutdown.onHurry(() => void (told += 1));
  expect([shutdown.hurry(), shutdown.hurry(), told]).toEqual([true, false, 1]);
});

test("wrong use exits with 2 and failure with 1, in one sentence; a fault of ours says where to look", () => {
  expect(verdict(new ConfigError("a is 1"), false)).toEqual({ code: 2, lines: ["a is 1"] });
  expect(verdict(new FailureError("no NATS"), true)).toEqual({ code: 1, lines: ["no NATS"] });
  const fault = verdict(new TypeError("x is undefined"), false);
  expect(fault.code).toBe(1);
  expect(fault.lines[0]).toBe("unexpected TypeError: x is undefined");
  expect(fault.lines[1]).toContain("LOG_LEVEL=debug");
  expect(verdict(new TypeError("x"), true).lines[0]).toContain("processShutdown.test");
});
