import { describe, expect, test } from "vitest";

import { hasEnded } from "../../src/control/record.js";
import type { HeldState, WorkerEvent } from "../../src/control/message.js";
import { FleetDriver, held, record, result, upTo } from "./fleetDriver.js";

const most = 2 ** 31 - 1;
const fact = { loss: 1, sumChecksum: 7 };

/** What was logged as an error, and whether the worker's stream was closed for that very reason. */
function turnedAway(driver: FleetDriver, workerId: string): string {
  const [error] = driver.commands.flatMap((command) =>
    command.kind === "log" && command.level === "error" ? command.message : [],
  );
  const [reason = "none"] = driver.commands.flatMap((command) =>
    command.kind === "close" && command.workerId === workerId ? command.reason : [],
  );
  expect(error ?? "").toBe(`${workerId} is not believed, and its stream is closed: ${reason}`);
  return reason;
}

describe("a coordinator that has started again does not believe a worker that holds", () => {
  const under = {
    ...record("job"),
    state: "training",
    attempt: 3,
    generation: 2,
    step: 1,
    members: ["w2"],
  } as const;
  const wrong: readonly (readonly [string, Partial<HeldState>, string])[] = [
    [
      "an attempt too high",
      { attempt: most },
      "attempt 2147483647 of job, which can be at most 1003",
    ],
    ["an attempt that is one too high", { attempt: 1_004 }, "attempt 1004 of job"],
    ["a step that the job does not have", { step: 4 }, "step 4 of job, which can be at most 3"],
    ["the last step there is", { step: most }, "step 2147483647 of job"],
    ["a trial too high", { trial: 1_003 }, "trial 1003 of job, which can be at most 1002"],
    [
      "a commit of a step behind the last",
      { step: 3, trail: [{ step: 3, ...fact }] },
      "step of the trail 3",
    ],
    ["shards that the job does not have", { ranges: [{ first: 0, end: 9 }] }, "end of shards 9"],
    [
      "more shards than there are",
      {
        ranges: [
          { first: 0, end: 8 },
          { first: 7, end: 8 },
        ],
      },
      "number of shards 9",
    ],
  ];
  test.each(wrong)("%s", (_, how, sentence) => {
    const driver = new FleetDriver([under]);
    const before = driver.fleet;
    driver.hello("w1", { held: held(2, { attempt: 3, ...how }) });
    expect(turnedAway(driver, "w1")).toContain(`it said ${sentence}`);
    expect(driver.fleet.members.has("w1")).toBe(false);
    expect(driver.fleet.records).toEqual(before.records);
    // Whoever has it goes on.
    driver.hello("w2", { held: held(2, { attempt: 3 }) });
    driver.pass(3_000, ["w2"]);
    expect(driver.record()).toMatchObject({ state: "training", attempt: 3, step: 2 });
  });

  test("of an attempt that its record may not know yet it is believed", () => {
    const driver = new FleetDriver([under]);
    driver.hello("w1", { held: held(2, { attempt: 1_003, trial: 5_000 }) });
    expect(driver.record()).toMatchObject({ attempt: 1_003 });
  });

  test("of a job that nobody knows it is told to let go, whatever the numbers", () => {
    const driver = new FleetDriver([under]);
    driver.hello("w1", { held: held(most, { job: "other", attempt: most }) });
    expect(driver.kinds("w1")).toEqual(["welcome", "release"]);
  });
});

describe("a worker under way loses its stream and its part in the job when it says", () => {
  const place = { job: "job", attempt: 1 };
  const report: Extract<WorkerEvent, { readonly kind: "report" }> = {
    ...{ kind: "report", ...place, generation: 1, step: 0, round: "training", trial: 0 },
    ...{ sumChecksum: 7, parameterChecksum: 100, computeMs: 1, exchangeMs: 1 },
    shards: [result(0)],
  };
  const saved = {
    ...place,
    what: "checkpoint",
    name: "n",
    parameterDigest: "d",
    bytes: 1,
  } as const;
  const wrong: readonly (readonly [WorkerEvent, string])[] = [
    [{ ...report, shards: [result(8)] }, "shard 8 of job, which can be at most 7"],
    [{ ...report, shards: [result(1, { count: 17 })] }, "examples of shard 1 17"],
    [{ ...report, step: 3 }, "step 3 of job, which can be at most 2"],
    [{ ...report, generation: most }, "generation 2147483647"],
    [{ ...report, trial: most }, "trial 2147483647"],
    [{ ...report, attempt: most }, "attempt 2147483647"],
    [
      { ...report, round: "evaluation", shards: [result(0)] },
      "shard 0 of job, which can be at most -1",
    ],
    [{ kind: "applied", ...place, step: 4, parameterChecksum: 1 }, "step 4"],
    [{ kind: "loaded", ...place, step: most, parameterChecksum: 1 }, "step 2147483647"],
    [{ kind: "saved", ...saved, step: 4 }, "step 4"],
    [{ kind: "prepared", job: "job", attempt: 1_002, probe: "p" }, "attempt 1002"],
  ];
  test.each(wrong)("$kind: %j", (event, sentence) => {
    const driver = FleetDriver.started(["w1", "w2"]);
    driver.say("w2", event);
    expect(turnedAway(driver, "w2")).toContain(`it said ${sentence}`);
    expect(driver.run?.participants.has("w2")).toBe(false);
    // The others do the step without it.
    driver.report("w1", upTo(8));
    expect(driver.record()).toMatchObject({ state: "training", attempt: 1, step: 1 });
    expect(hasEnded(driver.record().state)).toBe(false);
  });
});
