/** `bitfleet up`: a coordinator, a NATS server unless one is given, and a worker per GPU, until Ctrl-C. */
import { plural } from "../job/plural.js";
import type { Command } from "commander";
import { shell } from "../job/shell.js";
import { localWorkersMax as workersMax } from "../job/request.js";
import { bracketed, isLoopback, nameForOthers, reachableUrl } from "../process/address.js";
import { readEnvironment } from "../process/environment.js";
import { defaultHttpPort } from "../process/processSettings.js";
import { makeStateFolder } from "../process/stateFolder.js";
import type { Context } from "./context.js";
import { FleetUp } from "./fleetUp.js";
import { findGpus, gpuFor, type Gpu } from "./gpus.js";
import { partEnvironment, withFlags, type PartFlags } from "./partFlags.js";
import { wholeNumber } from "./wholeNumber.js";
import { ensureTokens, type UpTokens } from "./upTokens.js";

interface UpFlags extends PartFlags {
  readonly workers?: number;
}

export function addUp(program: Command, context: Context): void {
  const command = program
    .command("up")
    .description("start a coordinator and one worker per GPU on this machine, until Ctrl-C")
    .option(
      "--workers <N>",
      "number of workers, by default one per GPU, or one",
      wholeNumber("--workers", 0, workersMax),
    );
  withFlags(command, "coordinator").action((flags: UpFlags) => up(flags, context));
}

async function up(flags: UpFlags, context: Context): Promise<void> {
  const { terminal, variables, signal, setExitCode } = context;
  terminal.outliveReader();
  const given = partEnvironment(variables, flags);
  // Refuses here what every part would refuse after it.
  const read = readEnvironment(given);
  const { host, home } = read;
  await makeStateFolder(home);
  const tokens = await ensureTokens(read, (line) => terminal.note(line));
  const { tokenFile, tokensFile, workerTokenFile } = tokens;
  const environment = partEnvironment(given, {
    ...(tokenFile !== undefined && { tokenFile }),
    ...(tokensFile !== undefined && { tokensFile }),
  });

  const gpus = await findGpus(variables);
  const workers = dealGpus(gpus, flags.workers);
  terminal.note(`starting a coordinator and ${workersText(workers)}; state is in ${home}`);
  const fleet = new FleetUp(
    {
      environment,
      workerTokenFile,
      home,
      localHost: host === "0.0.0.0" ? "127.0.0.1" : host === "::" ? "::1" : host,
      workers: workers.length,
      gpus,
      say: (line) => terminal.note(line),
    },
    ({ port, natsUrl }) => {
      const { logFolder } = fleet;
      for (const line of upLines({ host, port, natsUrl, tokens, environment, logFolder }))
        terminal.out(line);
    },
  );
  const over = fleet.over();
  const asked = aborted(signal);
  const outcome = await Promise.race([over, asked]);
  if (outcome === undefined) terminal.note("stopping: workers first, then the coordinator");
  await fleet.stop();
  if (outcome === undefined) return;
  if (outcome.lastWords !== "") terminal.note(outcome.lastWords);
  // A coordinator that ends without being asked to has failed, whatever it says.
  setExitCode(outcome.ended.code === 0 ? 1 : outcome.ended.code);
}

/** One worker per GPU, or as many as asked for, dealt to the GPUs in turn. */
export function dealGpus(
  gpus: readonly Gpu[],
  count: number | undefined,
): readonly (Gpu | undefined)[] {
  const workers = count ?? Math.max(1, gpus.length);
  return Array.from({ length: workers }, (_, i) => gpuFor(gpus, i));
}

interface UpFacts {
  readonly host: string;
  readonly port: number;
  /** Of our own NATS server, or of the one that was named. */
  readonly natsUrl: string;
  readonly tokens: UpTokens;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly logFolder: string;
}

/** What is up, and the line that adds another machine. */
export function upLines(facts: UpFacts): readonly string[] {
  const { host, port, natsUrl, tokens, environment, logFolder } = facts;
  const name = bracketed(nameForOthers(host));
  const httpPort = environment["BITFLEET_HTTP_PORT"] ?? String(defaultHttpPort);
  const lines = [
    `coordinator  ${name}:${port}  (gRPC: clients and workers)`,
    `NATS         ${reachableUrl(natsUrl, nameForOthers(host))}  (workers)`,
    `status       http://${name}:${httpPort}/status`,
    `logs         ${logFolder}`,
  ];
  if (isLoopback(host)) {
    lines.push("only this machine can reach it; `up --host 0.0.0.0` lets others join");
  } else {
    const { workerTokenFile } = tokens;
    const copy =
      workerTokenFile === undefined
        ? ", with a worker's token in the file"
        : "; copy the token file there first, it is a worker's";
    lines.push(`another machine joins with this line${copy}:`);
    lines.push(
      shell`  bitfleet worker --join ${`${name}:${port}`} --token-file ${workerTokenFile ?? "FILE"}`,
    );
  }
  lines.push("stop with Ctrl-C");
  return lines;
}

function workersText(workers: readonly (Gpu | undefined)[]): string {
  const count = plural(workers.length, "worker");
  const names = [...new Set(workers.flatMap((gpu) => (gpu === undefined ? [] : [gpu.name])))];
  return names.length === 0 ? `${count} on the CPU` : `${count} on ${names.join(", ")}`;
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((done) => {
    if (signal.aborted) done(undefined);
    else signal.addEventListener("abort", () => done(undefined), { once: true });
  });
}
