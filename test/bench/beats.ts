import { advance, emptyFleet } from "../../src/control/fleet.js";
import { fleetTimes, type FleetHappening } from "../../src/control/fleetEvent.js";
import type { Beat, Fleet } from "../../src/control/fleetState.js";
import { queuedRecord, type JobRecord } from "../../src/control/record.js";
import { jobRecordOf } from "../contract/jobRecordOf.js";

export interface BeatsResult {
  readonly name: "beats";
  readonly endedJobs: number;
  readonly workers: number;
  readonly microsecondsPerBeat: number;
}

const workers = 10;
const beats = 20_000;

/** What a worker's beat costs the control plane where so many jobs have ended. */
export function benchBeats(endedJobs: number): BeatsResult {
  const options = {
    ...fleetTimes,
    ...{ term: 1, nats: { url: "", user: "", secret: "" }, store: "", joinLine: "" },
  };
  const records = Array.from({ length: endedJobs }, (_, i) => endedRecord(i));
  let fleet: Fleet = emptyFleet(options, records, new Map(), 0);
  let nowMs = 0;
  const happens = (happening: FleetHappening): void => {
    fleet = advance(fleet, { nowMs, wallMs: 1e12 + nowMs, ...happening }).fleet;
  };
  const ids = Array.from({ length: workers }, (_, i) => ({
    workerId: `w${i}`,
    incarnation: `w${i}.1`,
    origin: { token: "", address: "" },
  }));
  for (const id of ids) {
    happens({
      ...{ kind: "worker", ...id },
      event: {
        ...{ kind: "hello", workerId: id.workerId, incarnation: id.incarnation, secret: "s" },
        ...{ host: "h", pid: 1, device: "toy", gpu: false },
        ...{ numerics: "toy", term: 0, held: undefined },
      },
    });
  }
  const beat: Beat = {
    ...{ kind: "beat", phase: "", waitingFor: [], natsAgeMs: 1, shardsDone: 0 },
    ...{ residentBytes: 1, childSilentMs: -1, unitMs: -1 },
  };
  const atMs = performance.now();
  for (let i = 0; i < beats; i += 1) {
    const id = ids[i % workers];
    nowMs += 50 / workers;
    if (id !== undefined) happens({ kind: "worker", ...id, event: beat });
  }
  const spentMs = performance.now() - atMs;
  const microsecondsPerBeat = Math.round((10_000 * spentMs) / beats) / 10;
  return { name: "beats", endedJobs, workers, microsecondsPerBeat };
}

function endedRecord(number: number): JobRecord {
  const name = `old-${number}`;
  const { plan } = jobRecordOf(name, 3);
  const job = { name, requestId: name, order: number, plan, indexDigest: "index", createdMs: 1 };
  return { ...queuedRecord(job), state: "done", step: 3, attempt: 1, endedMs: 1 };
}
