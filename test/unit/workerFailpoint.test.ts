import { expect, test } from "vitest";
import { ConfigError } from "../../src/job/problem.js";
import { Failpoints, lastingFailpoints, parseFailpoints } from "../../worker/failpoint.js";
import { failureOf } from "../../worker/failure.js";

test("without a list there are no failpoints", () => {
  expect(parseFailpoints(undefined)).toEqual([]);
  expect(parseFailpoints(" ")).toEqual([]);
});

test("a list names failpoints with step, shard, seconds and repetition", () => {
  expect(parseFailpoints("nan-shard@7, slow=1.5@2#3*,exit-before-ready")).toEqual([
    { name: "nan-shard", step: 7, shard: undefined, always: false, seconds: 0 },
    { name: "slow", step: 2, shard: 3, always: true, seconds: 1.5 },
    { name: "exit-before-ready", step: undefined, shard: undefined, always: false, seconds: 0 },
  ]);
});

test.each([
  ["nan-shard", "must say nan-shard@STEP"],
  ["slow@3", "must say slow=SECONDS@STEP"],
  ["nan-shard=2@3", "must say nan-shard@STEP"],
  ["boom@3", "knows nan-shard, wrong-shard"],
  ["nan-shard@-1", "knows nan-shard, wrong-shard"],
])("the entry %s is refused in one sentence", (entry, reason) => {
  const read = (): unknown => parseFailpoints(`exit@1,${entry}`);
  expect(read).toThrow(ConfigError);
  expect(read).toThrow(`BITFLEET_FAILPOINTS has "${entry}"`);
  expect(read).toThrow(reason);
});

test("a failpoint fires once, at its step and its shard", () => {
  const failpoints = new Failpoints(parseFailpoints("nan-shard@7#2"));
  expect(failpoints.take("nan-shard", { step: 6, shard: 2 })).toBeUndefined();
  expect(failpoints.take("nan-shard", { step: 7, shard: 1 })).toBeUndefined();
  expect(failpoints.take("wrong-shard", { step: 7, shard: 2 })).toBeUndefined();
  expect(failpoints.take("nan-shard", { step: 8, shard: 2 })).toBeUndefined();
  expect(failpoints.take("nan-shard", { step: 7, shard: 2 })).toMatchObject({ step: 7 });
  expect(failpoints.take("nan-shard", { step: 7, shard: 2 })).toBeUndefined();
});

test("one with a star fires every time from its step on", () => {
  const failpoints = new Failpoints(parseFailpoints("wrong-shard@7*"));
  const fires = [6, 7, 7, 12].map((step) => failpoints.take("wrong-shard", { step, shard: 0 }));
  expect(fires.map((failpoint) => failpoint !== undefined)).toEqual([false, true, true, true]);
});

test("one without a step fires while the job is prepared, and not at a step", () => {
  const failpoints = new Failpoints(parseFailpoints("out-of-memory"));
  expect(failpoints.take("out-of-memory", { step: 0, shard: 0 })).toBeUndefined();
  expect(failpoints.take("out-of-memory")).toMatchObject({ name: "out-of-memory" });
});

test("only those with a star are left for a worker's later processes", () => {
  expect(lastingFailpoints("exit@1, wrong-shard@2*,hang@3")).toBe(" wrong-shard@2*");
  expect(parseFailpoints(lastingFailpoints("exit@1"))).toEqual([]);
});

test.each([
  "Session fail to run with error: 2 root error(s) found.\n  (0) RESOURCE_EXHAUSTED: OOM when allocating tensor with shape[8,4]",
  "Invalid TF_Status: 8\nMessage: OOM when allocating tensor with shape[1024,1024]",
  "Failed to allocate request for 2.00GiB (2147483648B) on device ordinal 0",
  "CUDA_ERROR_OUT_OF_MEMORY: out of memory",
  "CUBLAS_STATUS_ALLOC_FAILED",
  "Array buffer allocation failed",
  "std::bad_alloc",
  "ENOMEM: not enough memory, read",
])("memory that ran out is told apart from other errors: %s", (message) => {
  const { cause, message: told } = failureOf(new Error(message));
  expect(cause).toBe("memory");
  expect(told).not.toContain("\n");
});

test("what went wrong for want of memory is said, not the head of a list of errors", () => {
  const error = new Error(
    "Session fail to run with error: 2 root error(s) found.\n  (0) RESOURCE_EXHAUSTED: OOM when allocating x",
  );
  expect(failureOf(error).message).toBe(
    "out of memory: (0) RESOURCE_EXHAUSTED: OOM when allocating x",
  );
  expect(failureOf(new Error("no such picture\nat all")).cause).toBe("error");
});
