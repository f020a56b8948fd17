import { expect, test } from "vitest";
import type { TrainingHandlers } from "../../src/link/service.js";
import { run } from "./cliRun.js";
import { jobStatus } from "./grpcFixture.js";

test("all flags that are missing are named at once", async () => {
  const { code, terminal } = await run(["submit", "--data", "/d"]);
  expect([code, terminal.noted]).toEqual([
    2,
    "name, model are not given: --name NAME --model MODEL",
  ]);
});

test.each([
  ["r50x1", "R50x1"],
  ["BiT-M-R152x4", "R152x4"],
  ["resnetv2_101x3_bit", "R101x3"],
  ["resnet50", "R50x1"],
])("the model %s is taken for %s", async (model, meant) => {
  const { terminal } = await run(["submit", "--name", "a", "--data", "/d", "--model", model]);
  expect(terminal.noted).toContain(
    `model "${model}" is not known, did you mean ${meant}?: use R50x1`,
  );
});

test("who cannot be reached is told what to do", async () => {
  const { code, terminal } = await run(["jobs", "--coordinator", "127.0.0.1:1"]);
  expect([code, terminal.noted]).toEqual([
    1,
    'cannot reach the coordinator at 127.0.0.1:1; is "bitfleet up" running there? --coordinator or BITFLEET_COORDINATOR says where it is',
  ]);
});

test("evaluate says its result once where there is no terminal", async () => {
  const training: Partial<TrainingHandlers> = {
    getJob: async () => jobStatus({ state: "done" }),
    listJobs: async () => [],
    submit: async ({ settings: request }) => jobStatus({ name: request.name, state: "queued" }),
    async *watchJob(name) {
      const evaluations = [{ step: 0, correct: 78, total: 100, loss: 0.5 }];
      yield jobStatus({ name, state: "evaluating", steps: 0, step: 0, evaluations: [] });
      yield jobStatus({ name, state: "evaluating", steps: 0, step: 0, evaluations });
      yield jobStatus({ name, state: "done", steps: 0, step: 0, evaluations });
    },
  };
  for (const interactive of [false, true]) {
    const { terminal } = await run(["evaluate", "digits"], { training, interactive });
    expect(terminal.answers).toEqual(["78/100 (78.0 %) correct, loss 0.5"]);
    expect(terminal.noted).not.toContain("78");
  }
});

test("one bound of scale is told for text and numbers alike", async () => {
  for (const workers of ["many", "100"]) {
    const { code, terminal } = await run(["scale", workers]);
    expect([code, terminal.noted]).toEqual([
      2,
      `workers is "${workers}", not a whole number from 0 to 64`,
    ]);
  }
});

test("a refused number of --after is a sentence", async () => {
  const { terminal } = await run(["logs", "digits", "--after", "-1"]);
  expect(terminal.noted).toContain("is invalid. It must be a whole number from 0 to 2147483647.");
});
