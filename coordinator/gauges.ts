/** What can be read off the fleet at any moment: all series are made anew at each scrape. */
import { Gauge, type Registry } from "prom-client";

import type { Fleet } from "../src/control/fleetState.js";
import { hasEnded, jobStates, type JobRecord } from "../src/control/record.js";
import { workersUsable, workersWanted } from "../src/control/wanted.js";
import { jobStatus, workerStatuses } from "../src/control/view.js";

export interface Surroundings {
  /** Undefined until this coordinator holds the lock. */
  readonly fleet: Fleet | undefined;
  readonly isLeader: boolean;
  readonly term: number;
  readonly nowMs: number;
  readonly wallMs: number;
  /** Of the store's file system; undefined where there is none. */
  readonly disk: { readonly freeBytes: number; readonly sizeBytes: number } | undefined;
}

/** So long the last figures of a job that has ended are shown: several scrapes of any interval in use. */
export const endedKeptMs = 10 * 60_000;

/** Whether nothing is shown of the job any more. */
export function isOver(record: JobRecord | undefined, wallMs: number): boolean {
  if (record === undefined) return true;
  return hasEnded(record.state) && wallMs - record.endedMs >= endedKeptMs;
}

const workerStates = ["idle", "preparing", "working", "spare", "leaving", "lost"] as const;

export class FleetGauges {
  readonly #gauges;

  constructor(registry: Registry) {
    this.#gauges = gauges(registry);
  }

  read({ fleet, isLeader, term, nowMs, wallMs, disk }: Surroundings): void {
    const shown = this.#gauges;
    for (const gauge of Object.values(shown)) gauge.reset();
    shown.leader.set(isLeader ? 1 : 0);
    shown.term.set(term);
    if (disk !== undefined) {
      shown.storeFree.set(disk.freeBytes);
      shown.storeSize.set(disk.sizeBytes);
    }
    if (fleet === undefined) return;
    shown.natsUp.set(fleet.nats.isUp ? 1 : 0);
    const records = [...fleet.records.values()];
    for (const state of jobStates) shown.jobs.set({ state }, countOf(records, state));
    for (const record of records) {
      if (!isOver(record, wallMs)) this.#readJob(fleet, record, nowMs);
    }
    shown.wanted.set(workersWanted(fleet));
    shown.usable.set(workersUsable(fleet));
    this.#readWorkers(fleet, nowMs);
  }

  #readJob(fleet: Fleet, { name: job }: JobRecord, nowMs: number): void {
    const shown = this.#gauges;
    const status = jobStatus(fleet, job, nowMs);
    for (const state of jobStates) shown.state.set({ job, state }, status.state === state ? 1 : 0);
    shown.step.set({ job }, status.step);
    shown.steps.set({ job }, status.steps);
    if (status.loss !== undefined) shown.loss.set({ job }, status.loss);
    shown.rate.set({ job }, status.rate);
    shown.members.set({ job }, status.workers);
    shown.generation.set({ job }, status.generation);
    shown.attempt.set({ job }, status.attempt);
    shown.checkpointStep.set({ job }, status.checkpointStep);
    shown.imagesPerSecond.set({ job }, status.imagesPerSecond);
    const run = fleet.runs.get(job);
    const aside = run === undefined ? [] : [...run.setAside.keys(), ...run.distrusted.keys()];
    shown.setAside.set({ job }, new Set(aside).size);
    const { evaluations } = status;
    const last = evaluations.at(-1);
    if (last !== undefined) shown.accuracy.set({ job }, last.correct / last.total);
  }

  #readWorkers(fleet: Fleet, nowMs: number): void {
    const shown = this.#gauges;
    const workers = workerStatuses(fleet, nowMs);
    for (const state of workerStates) shown.workers.set({ state }, countOf(workers, state));
    for (const { id: worker, state, imagesPerSecond, residentBytes, lastBeatAgeMs } of workers) {
      if (state === "lost") continue;
      shown.workerSpeed.set({ worker }, imagesPerSecond);
      shown.workerMemory.set({ worker }, residentBytes);
      shown.workerHeard.set({ worker }, lastBeatAgeMs / 1000);
    }
  }
}

function countOf<State>(all: readonly { readonly state: State }[], state: State): number {
  return all.filter((one) => one.state === state).length;
}

function gauges(registry: Registry) {
  const registers = [registry];
  const gauge = <Label extends string = never>(name: string, help: string, labelNames: Label[]) =>
    new Gauge({ name: `bitfleet_${name}`, help, labelNames, registers });
  return {
    leader: gauge("coordinator_is_leader", "1 on the coordinator that holds the lock.", []),
    term: gauge("coordinator_term", "Its number of office.", []),
    natsUp: gauge("nats_up", "Whether NATS answers the coordinator.", []),
    storeFree: gauge("store_free_bytes", "Room left in the store folder.", []),
    storeSize: gauge("store_size_bytes", "Size of its file system.", []),
    jobs: gauge("jobs", "Jobs by state.", ["state"]),
    workers: gauge("workers", "Workers by state.", ["state"]),
    wanted: gauge("workers_wanted", "What all jobs need at least to run at once.", []),
    usable: gauge("workers_usable", "What all jobs could use at most.", []),
    state: gauge("job_state", "1 for the state that the job is in.", ["job", "state"]),
    step: gauge("job_step", "Steps committed of the job.", ["job"]),
    steps: gauge("job_steps", "Steps that the job has in all.", ["job"]),
    loss: gauge("job_loss", "Mean loss of the last step.", ["job"]),
    accuracy: gauge("job_accuracy_ratio", "Part right in the last evaluation.", ["job"]),
    rate: gauge("job_learning_rate", "Of the step that comes next.", ["job"]),
    imagesPerSecond: gauge("job_images_per_second", "Smoothed over the last steps.", ["job"]),
    members: gauge("job_members", "Workers that hold the job's state.", ["job"]),
    generation: gauge("job_generation", "Membership of the attempt.", ["job"]),
    attempt: gauge("job_attempt", "History since the last rewind.", ["job"]),
    setAside: gauge("job_set_aside_workers", "Workers that may not take part.", ["job"]),
    checkpointStep: gauge("job_checkpoint_step", "Step of the newest checkpoint.", ["job"]),
    workerSpeed: gauge("worker_images_per_second", "Of its last shards.", ["worker"]),
    workerMemory: gauge("worker_resident_bytes", "Memory of its job's process.", ["worker"]),
    workerHeard: gauge("worker_last_heard_seconds", "How long it has said nothing.", ["worker"]),
  };
}
