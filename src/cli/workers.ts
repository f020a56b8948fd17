/** `bitfleet workers`: who is there, what they do, and why one does nothing. */
import type { Command } from "commander";
import type { WorkerStatus } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { bytes, duration, short, table } from "./text.js";

export function addWorkers(program: Command, context: Context): void {
  const command = program.command("workers").description("list the workers of the fleet");
  command.option("--json", "print JSON");
  withConnection(command).action(async (flags: ConnectionFlags & { readonly json?: boolean }) => {
    const workers = await withClient(flags, context.variables, (client) => client.workers());
    if (flags.json === true) printJson(context, workers);
    else
      for (const line of workerLines(workers, context.terminal.columns)) context.terminal.out(line);
  });
}

export function workerLines(workers: readonly WorkerStatus[], columns?: number): readonly string[] {
  if (workers.length === 0) {
    return ["no workers; start one with: bitfleet worker --join HOST:PORT"];
  }
  return table(
    ["WORKER", "STATE", "JOB", "PHASE", "IMAGES/S", "MEMORY", "HEARD", "HOST", "DEVICE", "REASON"],
    workers.map((worker) => [
      worker.id,
      worker.state,
      worker.job === "" ? "-" : worker.job,
      worker.phase === "" ? "-" : worker.phase,
      worker.imagesPerSecond > 0 ? short(worker.imagesPerSecond) : "-",
      worker.residentBytes > 0 ? bytes(worker.residentBytes) : "-",
      worker.lastBeatAgeMs < 0 ? "-" : `${duration(worker.lastBeatAgeMs / 1000)} ago`,
      worker.host,
      worker.device,
      worker.reason,
    ]),
    { columns, endsInSentences: true },
  );
}
