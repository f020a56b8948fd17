import { describe, expect, test } from "vitest";
import { judgeNumbers, judgeShard } from "../../src/control/judgement.js";
import { heaviest, weigh, type Voter } from "../../src/control/voting.js";
import { FleetDriver, result, upTo } from "./fleetDriver.js";

const alive = "another process has the name w1, and is alive";
const notYet = "the process that had the name w1 before is not known to have ended yet";

function closings(driver: FleetDriver, incarnation: string): readonly string[] {
  return driver.commands.flatMap((command) =>
    command.kind === "close" && command.incarnation === incarnation ? command.reason : [],
  );
}

function refusals(driver: FleetDriver, incarnation: string): readonly string[] {
  return driver.commands.flatMap((command) =>
    command.kind === "send" &&
    command.incarnation === incarnation &&
    command.command.kind === "refuse"
      ? command.command.reason
      : [],
  );
}

describe("a name that a process has", () => {
  test("is not taken from it while it is alive, and who wants it is told to end", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 9 });
    driver.greet("w1", { incarnation: "impostor" });
    expect(closings(driver, "impostor")).toEqual([notYet]);
    expect(refusals(driver, "w1.1")).toEqual([]);
    const heard: string[] = [];
    for (let tries = 0; tries < 7; tries += 1) {
      driver.pass(1000, ["w1", "w2"]);
      driver.greet("w1", { incarnation: "impostor" });
      heard.push(...refusals(driver, "impostor"), ...refusals(driver, "w1.1"));
    }
    expect(heard[0]).toContain(alive);
    expect(driver.fleet.members.get("w1")).toMatchObject({
      incarnation: "w1.1",
      link: { kind: "connected" },
    });
    driver.report("w1", upTo(4));
    driver.report("w2", upTo(8, 4));
    expect(driver.record().step).toBe(1);
  });

  test("nor when its stream is away for a moment", () => {
    const driver = FleetDriver.started(["w1", "w2"], { steps: 9 });
    driver.disconnect("w1");
    driver.greet("w1", { incarnation: "impostor" });
    expect(closings(driver, "impostor")).toEqual([notYet]);
    const { attempt, step } = driver.record();
    const held = { job: "job", attempt, step, parameterChecksum: 100, ranges: [], summed: false };
    driver.greet("w1", { held: { ...held, trail: [], trial: 0 } });
    expect(driver.kinds("w1")).toContain("welcome");
    expect(driver.fleet.runs.get("job")?.participants.get("w1")?.stage.kind).toBe("member");
  });

  test("is the next one's soon after it has ended, and the former is told to end", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.disconnect("w1");
    driver.pass(1250);
    driver.greet("w1", { incarnation: "w1.2" });
    expect(driver.kinds("w1")).toEqual(["welcome"]);
    driver.greet("w1");
    expect(refusals(driver, "w1.1")[0]).toContain("a newer process has the name w1");
  });

  test("is the next one's within a lease where nobody saw it end", () => {
    const driver = new FleetDriver();
    driver.hello("w1");
    driver.greet("w1", { incarnation: "w1.2" });
    expect(closings(driver, "w1.2")).toEqual([notYet]);
    driver.pass(5250);
    driver.greet("w1", { incarnation: "w1.2" });
    expect(driver.kinds("w1")).toEqual(["welcome"]);
  });
});

describe("a name that a token's worker has", () => {
  test("is not another token's, alive or lost, until it is forgotten", () => {
    const driver = new FleetDriver();
    driver.hello("w1", {}, { token: "a" });
    driver.greet("w1", { incarnation: "b" }, { token: "b" });
    expect(refusals(driver, "b")[0]).toContain('the name w1 is of a worker with the token "a"');
    driver.disconnect("w1");
    driver.pass(2000);
    driver.greet("w1", { incarnation: "b" }, { token: "b" });
    expect(closings(driver, "b")[0]).toContain('the name w1 is of a worker with the token "a"');
    driver.pass(600_000);
    driver.greet("w1", { incarnation: "b" }, { token: "b" });
    expect(driver.kinds("w1")).toEqual(["welcome"]);
  });

  test("also not where the other one claims the same process", () => {
    const driver = new FleetDriver();
    driver.hello("w1", {}, { token: "a" });
    driver.greet("w1", {}, { token: "b" });
    expect(driver.kinds("w1")).toEqual(["refuse"]);
    expect(driver.fleet.members.get("w1")?.origin.token).toBe("a");
  });

  test("is open to the next token once its own is no more", () => {
    const driver = new FleetDriver();
    driver.hello("w1", {}, { token: "a" });
    driver.happens({ kind: "token-revoked", token: "a" });
    driver.disconnect("w1");
    driver.pass(1250);
    driver.greet("w1", { incarnation: "b" }, { token: "b" });
    expect(driver.kinds("w1")).toEqual(["welcome"]);
  });

  test("is one of so many", () => {
    const driver = new FleetDriver();
    const options = { ...driver.fleet.options, liveMax: 2, knownMax: 4 };
    driver.fleet = { ...driver.fleet, options };
    for (const id of ["w1", "w2"]) driver.hello(id, {}, { token: "a" });
    driver.hello("w3", {}, { token: "a" });
    expect(closings(driver, "w3.1")).toEqual([
      '2 workers with the token "a" are members, and more are not taken on',
    ]);
    driver.hello("w4", {}, { token: "b" });
    expect(driver.kinds("w4")).toEqual(["welcome"]);
    for (let i = 5; i < 15; i += 1) {
      driver.hello(`w${i}`, {}, { token: "b" });
      driver.say(`w${i}`, { kind: "leave", reason: "on" });
    }
    const known = [...driver.fleet.members.values()].filter(({ origin }) => origin.token === "b");
    expect(known).toHaveLength(4);
    // One that is there is not forgotten.
    expect(driver.fleet.members.has("w4")).toBe(true);
  });
});

const voter = (workerId: string, token = "t", address = "h"): Voter => ({
  ...{ workerId, token, address },
});

describe("whose word counts", () => {
  test.each([
    ["more tokens", [voter("a", "x"), voter("b", "y")], [voter("c", "z")], 1],
    ["as many tokens", [voter("a", "x"), voter("b", "x"), voter("c", "x")], [voter("d", "y")], 0],
    ["more addresses", [voter("a", "t", "1"), voter("b", "t", "2")], [voter("c", "t", "3")], 1],
    ["as many addresses", [voter("a", "t", "1"), voter("b", "t", "1")], [voter("c", "t", "2")], 0],
    ["more names of one address", [voter("a"), voter("b")], [voter("c")], 1],
    ["fewer names", [voter("a")], [voter("b"), voter("c")], -1],
    ["as many names", [voter("a")], [voter("b")], 0],
  ])("%s", (_, first, second, sign) => {
    expect(Math.sign(weigh(first, second))).toBe(sign);
    expect(Math.sign(weigh(second, first))).toBe(sign === 0 ? 0 : -sign);
  });

  test("the heaviest is heavier than every other one", () => {
    const sides = [[voter("a")], [voter("b"), voter("c")], [voter("d"), voter("e")]].map(
      (voters) => ({ voters }),
    );
    expect(heaviest(sides)).toBeUndefined();
    expect(heaviest(sides.slice(0, 2))).toBe(sides[1]);
  });

  const honest = voter("honest", "a", "1");
  const liars = ["e1", "e2", "e3"].map((id) => voter(id, "b", "2"));
  const opinions = [honest, ...liars].map(({ workerId }, i) => ({
    ...{ workerId, incarnation: workerId },
    result: { ...result(0), loss: i === 0 ? 1 : 2 },
  }));

  test("three names of one token do not make another token's shard wrong", () => {
    expect(judgeShard(opinions, [honest, ...liars])).toEqual({ kind: "open" });
    const witness = voter("witness", "c", "3");
    const more = [
      ...opinions,
      { workerId: "witness", incarnation: "w", result: { ...result(0), loss: 1 } },
    ];
    expect(judgeShard(more, [honest, ...liars, witness])).toMatchObject({
      kind: "wrong",
      workers: ["e1", "e2", "e3"],
    });
  });

  test("nor its sum or parameters", () => {
    const stated = new Map(
      [honest, ...liars].map(({ workerId }, i) => [workerId, [i === 0 ? 1 : 2]]),
    );
    expect(judgeNumbers(stated, [honest, ...liars])).toEqual({ kind: "tie" });
    const alike = [honest, ...liars].map(({ workerId }) => voter(workerId));
    expect(judgeNumbers(stated, alike)).toEqual({ kind: "odd", workers: ["honest"], value: 2 });
  });
});

test("a worker's words stand for none of ours in a log", () => {
  const driver = FleetDriver.started(["w1"]);
  const fields = { worker: "w2", job: "other", level: "error", step: 3 };
  driver.say("w1", { kind: "log", job: "job", level: "info", message: "m", fields });
  expect(driver.commands).toMatchObject([{ kind: "log", fields: { worker: "w1" }, said: fields }]);
});
