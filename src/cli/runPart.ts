import { graceMs } from "../process/environment.js";
import type { Variables } from "../process/variables.js";
import type { Context } from "./context.js";
import { PartProcess, type Part } from "./processes.js";

/** What a part may take to stop, on top of the grace that a worker is given. */
const endingMs = 15_000;

/** Runs one part in the foreground: its output is ours, our end is its end, its exit code ours. */
export async function runPart(
  part: Part,
  environment: Variables,
  { signal, setExitCode }: Context,
): Promise<void> {
  const stopMs = graceMs(environment) + endingMs;
  const child = new PartProcess(part, environment);
  const stop = (): void => void child.stop(stopMs);
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop, { once: true });
  const { code } = await child.ended;
  signal.removeEventListener("abort", stop);
  setExitCode(code);
}
