import { spawn } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { connect, type BitfleetClient } from "../client/client.js";
import type { JobRequest } from "../job/settings.js";
import { run } from "../process/shutdown.js";
import { packageRoot } from "../process/toolchain.js";
import { writeDigits } from "./digits.js";
import { Fleet } from "./fleet.js";
import { follow } from "./follow.js";
import { best, report, type Outcome } from "./report.js";

/**
 * BiT's story on handwritten digits, with a coordinator, NATS and two workers as real processes:
 * pretrain on 0 to 4, transfer to 5 to 9 with ten examples per class, and the same from scratch,
 * each at two rates: the hyper-rule's, and ten times that.
 */

const small = {
  model: "1-1-1-1x0.5",
  resize: 36,
  crop: 32,
  noFlip: true, // A mirrored digit is another sign.
  shards: 8,
  microBatch: 32,
} as const;

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

run(
  async (shutdown) => {
    const started = performance.now();
    const folder = join(packageRoot(), ".demo");
    await rm(join(folder, "fleet"), { recursive: true, force: true });
    await mkdir(join(folder, "weights"), { recursive: true });
    say("Bitfleet demo: handwritten digits, a coordinator, NATS and two workers on this machine.");
    const digits = await writeDigits(join(folder, "pictures"));

    const fleet = await Fleet.start({ home: join(folder, "fleet"), workers: 2, spawn });
    shutdown.add("the demo's fleet", () => fleet.stop());
    const client = connect({ address: fleet.address });
    shutdown.add("the demo's client", () => client.close());
    await fleet.ready(client, 2, shutdown.signal);

    const train = (title: string, request: JobRequest): Promise<Outcome> =>
      trainOne(client, title, request, shutdown.signal);

    const upstream = await train("Pretrain on the digits 0 to 4", {
      ...small,
      name: "pretrain",
      recipe: "upstream",
      data: digits.pretrain,
      validation: digits.pretrainValidation,
      ...{ steps: 60, rate: 0.015, warmupSteps: 15 },
    });
    const few = {
      ...small,
      data: digits.transfer,
      validation: digits.transferValidation,
      examplesPerClass: 10,
      steps: 50,
    };
    const transfer = [];
    const scratch = [];
    for (const rate of [0.003, 0.03]) {
      const end = String(rate).replace(".", "-");
      const from = `transfer-${end}`;
      const title = `Transfer to 5 to 9, ten examples of each, rate ${rate}`;
      transfer.push(await train(title, { ...few, name: from, rate, weights: "job:pretrain" }));
      const again = `The same ten examples from scratch, rate ${rate}`;
      scratch.push(await train(again, { ...few, name: `scratch-${end}`, rate }));
    }
    const weights = join(folder, "weights", "digits-5-to-9.npz");
    await client.exportWeights(best(transfer).job, weights, { force: true });
    const seconds = (performance.now() - started) / 1000;
    for (const line of report({ upstream, transfer, scratch, weights, seconds, digits })) say(line);
    return 0;
  },
  { debug: process.env["LOG_LEVEL"] === "debug", graceMs: 20_000 },
);

async function trainOne(
  client: BitfleetClient,
  title: string,
  request: JobRequest,
  signal: AbortSignal,
): Promise<Outcome> {
  say(`\n${title}`);
  await client.submit(request);
  return follow(client, request.name, signal, process.stdout);
}
