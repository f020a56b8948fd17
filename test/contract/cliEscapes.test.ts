import { afterEach, expect, test } from "vitest";
import { runProgram } from "../../src/cli/program.js";
import type { RunningServer } from "../../src/link/service.js";
import type { LogLine, WorkerStatus } from "../../src/wire/training.js";
import { FakeTerminal } from "../unit/fakeTerminal.js";
import { addressOf, serve } from "./grpcFixture.js";

/** What others wrote reaches a terminal through every reading command, and must not be obeyed there. */

const servers: RunningServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close("over");
});

const escapes = {
  "clear the screen": "\u001b[2J",
  "rename the window": "\u001b]0;owned\u0007",
  "C1: control sequence": "\u009b2J",
  "C1: operating system command": "\u009d0;owned\u009c",
  "C1: next line": "\u0085root:",
  "write over the line": "\rok",
  "rub out": "\u007f\u007f",
  "override the direction": "\u202egpj.exe\u202c",
  "isolate a direction": "\u2067abc\u2069",
  "line separator": "\u2028root: \u2029",
};
const text = Object.values(escapes).join("a");

const line: LogLine = {
  ...{ sequence: 1, timeMs: 0, level: "warn", message: text },
  fields: { worker: text, name: text },
};
const worker: WorkerStatus = {
  ...{ id: "worker-1", incarnation: "a1", host: text, device: text, state: "spare", reason: text },
  ...{ job: "digits", phase: "idle", numerics: "cpu avx2" },
  ...{ imagesPerSecond: 1, residentBytes: 1, lastBeatAgeMs: 1 },
};
const training = {
  async *readLogs() {
    yield line;
  },
  listWorkers: async () => [worker],
};

/** What a terminal would obey, or show in another order. */
const obeyed = /[\0-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/;

async function printed(...args: readonly string[]): Promise<string> {
  const server = await serve(training);
  servers.push(server);
  const terminal = new FakeTerminal();
  const variables = { BITFLEET_COORDINATOR: addressOf(server), BITFLEET_HOME: "/nowhere" };
  await runProgram(args, { terminal, variables, signal: new AbortController().signal });
  return terminal.answer;
}

test.each([
  ["logs digits", 1],
  ["workers", 2],
])("%s prints its lines and no escapes", async (command, lines) => {
  for (const escape of Object.values(escapes)) expect(escape).toMatch(obeyed);
  const answer = await printed(...command.split(" "));
  expect(answer).not.toMatch(obeyed);
  expect(answer.split("\n")).toHaveLength(lines);
  expect(answer).toContain("owned");
});

test.each([
  ["logs digits", line],
  ["workers", [worker]],
])("%s --json spells them out, so that whoever parses it has them", async (command, value) => {
  const answer = await printed(...command.split(" "), "--json");
  expect(answer).not.toMatch(obeyed);
  expect(JSON.parse(answer)).toEqual(value);
});
