import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hrtime } from "node:process";
import { fileURLToPath } from "node:url";
import { findNatsServer, startNatsServer } from "../../src/link/natsServer.js";
import { toolchainFile } from "../../src/process/toolchain.js";

export interface ExchangeResult {
  readonly name: "exchange";
  readonly ranks: number;
  readonly megabytes: number;
  readonly medianMs: number;
  readonly bestMs: number;
  /** Processor time of all ranks together, the server's not included. */
  readonly medianCpuMs: number;
  readonly rounds: readonly number[];
}

/** Parameters of R50x1 without its head. */
const elements = 23_500_352;

/**
 * The time from the moment that every rank has its gradient of 94 MB to the moment that every rank
 * has the sum, over a nats-server on loopback, each rank a process.
 */
export async function benchExchange(ranks: number, rounds = 7): Promise<ExchangeResult> {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-bench-"));
  const binary = await findNatsServer(process.env, toolchainFile());
  const server = await startNatsServer({ binary, folder });
  const children = Array.from({ length: ranks }, (_, rank) =>
    fork(fileURLToPath(new URL("./exchangeRank.js", import.meta.url)), [
      server.url,
      ...[rank, ranks, elements].map(String),
    ]),
  );
  try {
    await all(children, "started");
    const times: number[] = [];
    const cpu: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const ready = all(children, "ready");
      tell(children, "prepare");
      await ready;
      const done = all(children, "done");
      const begin = hrtime.bigint();
      tell(children, "go");
      const reports = (await done).map((text) => text.split(" "));
      const ends = reports.map(([, endNs]) => BigInt(endNs ?? "0"));
      cpu.push(reports.reduce((total, [, , micros]) => total + Number(micros), 0) / 1e3);
      times.push(Number(ends.reduce((a, b) => (a > b ? a : b)) - begin) / 1e6);
      const ended = all(children, "ended");
      tell(children, "end");
      await ended;
    }
    // The first round pays for fresh memory and for the compiler.
    const warm = times.slice(1);
    return {
      name: "exchange",
      ranks,
      megabytes: Math.round((4 * elements) / 1e6),
      medianMs: Math.round(median(warm)),
      bestMs: Math.round(Math.min(...warm)),
      medianCpuMs: Math.round(median(cpu.slice(1))),
      rounds: times.map((time) => Math.round(time)),
    };
  } finally {
    tell(children, "close");
    for (const child of children) if (child.exitCode === null) await once(child, "exit");
    await server.stop();
    await rm(folder, { recursive: true });
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;
}

function tell(children: readonly ChildProcess[], message: string): void {
  for (const child of children) if (child.connected) child.send(message);
}

/** The next message of every child that begins with this word. */
async function all(children: readonly ChildProcess[], word: string): Promise<readonly string[]> {
  return Promise.all(
    children.map(
      (child) =>
        new Promise<string>((resolve, reject) => {
          const onExit = (): void => reject(new Error("a rank of the benchmark ended"));
          const onMessage = (message: unknown): void => {
            if (typeof message !== "string" || !message.startsWith(word)) return;
            child.off("message", onMessage).off("exit", onExit);
            resolve(message);
          };
          child.on("message", onMessage).once("exit", onExit);
        }),
    ),
  );
}

/** Prints a JSON line per count of ranks. */
export async function main(): Promise<void> {
  for (const ranks of [2, 4]) console.log(JSON.stringify(await benchExchange(ranks)));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
