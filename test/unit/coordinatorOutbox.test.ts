import { expect, test } from "vitest";

import { Outbox, type Delivery } from "../../coordinator/outbox.js";
import type { WorkerCommand } from "../../src/control/message.js";
import { queuedRecord, type JobRecord } from "../../src/control/record.js";
import { planJob } from "../../src/job/plan.js";

const data = {
  ...{ classes: ["a", "b"], trainingCounts: [9, 9], validationCounts: [1, 1] },
  ...{ medianWidth: 32, medianHeight: 32, leftOut: [], digest: "ab" },
};
const plan = planJob({ name: "j", model: "R50x1", data: "/data", steps: 100 }, data);
const job = { name: "j", requestId: "r", order: 1, plan, indexDigest: "ab", createdMs: 5 };
const record: JobRecord = { ...queuedRecord(job), state: "training", attempt: 1 };

interface World {
  readonly outbox: Outbox;
  readonly delivered: readonly string[];
  readonly stored: readonly JobRecord[];
  readonly put: readonly JobRecord[];
  /** Makes the oldest record on its way durable. */
  readonly settle: () => Promise<void>;
}

function world(): World {
  const delivered: string[] = [];
  const stored: JobRecord[] = [];
  const put: JobRecord[] = [];
  const settling: (() => void)[] = [];
  const outbox = new Outbox({
    store: (value) => {
      stored.push(value);
      return new Promise((resolve) => settling.push(resolve));
    },
    put: (value) => put.push(value),
    deliver: (delivery) => delivered.push(describe(delivery)),
  });
  const settle = async (): Promise<void> => {
    settling.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { outbox, delivered, stored, put, settle };
}

function describe(delivery: Delivery): string {
  const what = delivery.kind === "close" ? "close" : delivery.command.kind;
  return `${delivery.workerId} ${what}`;
}

function send(workerId: string, command: WorkerCommand): Delivery {
  return { kind: "send", workerId, incarnation: workerId, command };
}

const commit = (name: string): WorkerCommand => ({
  ...{ kind: "commit", job: name, attempt: 1, step: 3, save: false, facts: undefined },
});
const spare: WorkerCommand = { kind: "spare", reason: "" };

test("what follows from a decisive record waits until it is durable, and what does not need not", async () => {
  const { outbox, delivered, settle } = world();
  outbox.keep(record);
  outbox.add(send("w1", commit("j")));
  outbox.add(send("w2", commit("other")));
  outbox.add(send("w3", spare));
  expect(delivered).toEqual(["w2 commit", "w3 spare"]);
  await settle();
  expect(delivered).toEqual(["w2 commit", "w3 spare", "w1 commit"]);
});

test("a worker hears everything in order, also what need not wait itself", async () => {
  const { outbox, delivered, settle } = world();
  outbox.keep(record);
  outbox.add(send("w1", commit("j")));
  outbox.add(send("w1", spare));
  outbox.add({ kind: "close", workerId: "w1", incarnation: "w1", reason: "" });
  expect(delivered).toEqual([]);
  await settle();
  expect(delivered).toEqual(["w1 commit", "w1 spare", "w1 close"]);
});

test("all decisive records on their way have to be durable, not only the first", async () => {
  const { outbox, delivered, settle } = world();
  outbox.keep(record);
  outbox.keep({ ...record, generation: 2 });
  outbox.add(send("w1", commit("j")));
  await settle();
  expect(delivered).toEqual([]);
  await settle();
  expect(delivered).toEqual(["w1 commit"]);
});

test("a record in which only the step and the loss moved on holds nothing back", async () => {
  const { outbox, delivered, stored, put, settle } = world();
  outbox.keep(record);
  await settle();
  const next = { ...record, step: 4, loss: 0.5 };
  outbox.keep(next);
  outbox.add(send("w1", commit("j")));
  expect(delivered).toEqual(["w1 commit"]);
  expect([stored.length, put]).toEqual([1, [next]]);
});

test.each([
  ["state", { state: "waiting" }],
  ["attempt", { attempt: 2 }],
  ["generation", { generation: 7 }],
  ["pin", { pin: { numerics: "n", probe: "p" } }],
  ["members", { members: ["w1"] }],
  ["checkpoints", { checkpoints: [{ step: 3, attempt: 1 }] }],
  ["evaluations", { evaluations: [{ step: 3, correct: 1, total: 2, loss: 1 }] }],
  ["weights", { weights: { parameterDigest: "d" } }],
] as const)("a change of %s is decisive", async (_, change) => {
  const { outbox, delivered, settle } = world();
  outbox.keep(record);
  await settle();
  outbox.keep({ ...record, ...change });
  outbox.add(send("w1", commit("j")));
  expect(delivered).toEqual([]);
});

test("kept tells whether the job's records were durable in time", async () => {
  const { outbox, settle } = world();
  expect(await outbox.kept("j", 0)).toBe(true);
  outbox.keep(record);
  expect(await outbox.kept("j", 20)).toBe(false);
  const kept = outbox.kept("j", 5000);
  await settle();
  expect(await kept).toBe(true);
});

test("a worker that comes back is welcomed at once, and hears nothing that was meant for its old stream", async () => {
  const { outbox, delivered, settle } = world();
  outbox.keep(record);
  outbox.add(send("w1", commit("j")));
  outbox.add(send("w2", commit("j")));
  const nats = { url: "nats", user: "", secret: "" };
  outbox.add(send("w1", { kind: "welcome", leaseMs: 5, beatMs: 1, nats, store: "" }));
  outbox.add(send("w1", spare));
  expect(delivered).toEqual(["w1 welcome", "w1 spare"]);
  outbox.add(send("w1", commit("j")));
  await settle();
  expect(delivered).toEqual(["w1 welcome", "w1 spare", "w2 commit", "w1 commit"]);
});

test("what waits for a job's records waits for all of them, and not for those of other jobs", async () => {
  const { outbox, settle } = world();
  const done: string[] = [];
  outbox.keep(record);
  outbox.keep({ ...record, generation: 2 });
  for (const name of ["j", "other"]) void outbox.whenKept(name).then(() => done.push(name));
  await settle();
  expect(done).toEqual(["other"]);
  await settle();
  expect(done).toEqual(["other", "j"]);
});
