/** What a fleet leaves behind. */
import { readdirSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "nats";
import type { ChaosFleet } from "./fleet.js";
import { commandOf } from "./processes.js";

/** Consumers of all streams, as JetStream counts them. */
export async function consumersLeft(fleet: ChaosFleet): Promise<number> {
  const connection = await connect({ servers: fleet.natsUrl });
  try {
    const manager = await connection.jetstreamManager();
    let consumers = 0;
    for await (const { state } of manager.streams.list()) consumers += state.consumer_count;
    return consumers;
  } finally {
    await connection.close();
  }
}

/** What a process may need to notice that its parent is gone. */
const noticeMs = 5000;

/** Of a fleet that has been stopped: a sentence for each process, port and file. */
export async function leftBehind(fleet: ChaosFleet): Promise<readonly string[]> {
  const deadline = performance.now() + noticeMs;
  while (fleet.processes().length > 0 && performance.now() < deadline) await sleep(50);
  return [
    ...fleet.processes().map((pid) => `process ${pid}: ${commandOf(pid).join(" ")}`),
    ...(await fleet.takenPorts()).map((port) => `something listens on ${port}`),
    ...readdirSync(fleet.temporaryFolder).map((file) => `a temporary file ${file}`),
  ];
}
