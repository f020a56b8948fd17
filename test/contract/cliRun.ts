import { rm } from "node:fs/promises";
import { afterEach } from "vitest";
import { runProgram } from "../../src/cli/program.js";
import { ConfigError, FailureError } from "../../src/job/problem.js";
import type { RunningServer, TrainingHandlers } from "../../src/link/service.js";
import { FakeTerminal } from "../unit/fakeTerminal.js";
import { addressOf, serve } from "./grpcFixture.js";

const servers: RunningServer[] = [];
/** Removed after the test. */
export const folders: string[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close("over");
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});

export interface Outcome {
  readonly code: number;
  readonly terminal: FakeTerminal;
}

/** Runs one command line; what main would turn into a sentence and a code is turned here likewise. */
export async function run(
  args: readonly string[],
  {
    training = {},
    interactive = false,
    signal = new AbortController().signal,
    columns,
  }: {
    readonly training?: Partial<TrainingHandlers>;
    readonly interactive?: boolean;
    readonly signal?: AbortSignal;
    readonly columns?: number;
  } = {},
): Promise<Outcome> {
  const server = await serve(training);
  servers.push(server);
  const terminal = new FakeTerminal(interactive, columns);
  const variables = { BITFLEET_COORDINATOR: addressOf(server), BITFLEET_HOME: "/nowhere" };
  try {
    return { code: await runProgram(args, { terminal, variables, signal }), terminal };
  } catch (error) {
    if (!(error instanceof ConfigError || error instanceof FailureError)) throw error;
    terminal.note(error.message);
    return { code: error instanceof ConfigError ? 2 : 1, terminal };
  }
}
