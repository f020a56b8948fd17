/**
 * What Prometheus reads from the coordinator. Counters follow what each event came to; gauges are read off the fleet when it asks.
 * Labels are bounded: a job's series go some minutes after its end, a worker's as soon as it is lost.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

import type { FleetHappening } from "../src/control/fleetEvent.js";
import type { Fleet } from "../src/control/fleetState.js";
import { observe, type Observation } from "../src/control/observing.js";
import { hasEnded } from "../src/control/record.js";
import type { TlsFiles } from "../src/process/certificates.js";
import { showExpiry } from "../src/process/expiryGauge.js";
import { FleetGauges, isOver, type Surroundings } from "./gauges.js";

const secondsBuckets = [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000];

export class CoordinatorMetrics {
  readonly #registry = new Registry();
  readonly #gauges = new FleetGauges(this.#registry);
  readonly #counters = counters(this.#registry);
  /** Jobs that have series of their own. */
  readonly #jobs = new Set<string>();

  constructor(tls?: TlsFiles) {
    collectDefaultMetrics({ register: this.#registry });
    showExpiry(this.#registry, tls);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Counts what the event came to. */
  take(before: Fleet, after: Fleet, happening: FleetHappening): void {
    for (const observation of observe(before, after, happening)) this.#count(observation);
    if (before.records === after.records) return;
    // A series that begins at nought has a rate from its first increase on.
    for (const { name, state } of after.records.open.values())
      if (!hasEnded(state)) this.#begin(name);
  }

  async text(surroundings: Surroundings): Promise<string> {
    const { fleet, wallMs } = surroundings;
    if (fleet !== undefined) await this.#forget(fleet, wallMs);
    this.#gauges.read(surroundings);
    return this.#registry.metrics();
  }

  #begin(job: string): void {
    if (this.#jobs.has(job)) return;
    this.#jobs.add(job);
    const { steps, images, rewinds, saved, savedBytes, saveFailures } = this.#counters;
    for (const counter of [steps, images, rewinds]) counter.inc({ job }, 0);
    for (const counter of [saved, savedBytes, saveFailures])
      counter.inc({ job, what: "checkpoint" }, 0);
    this.#counters.lastStep.setToCurrentTime({ job });
    this.#counters.lastCheckpoint.setToCurrentTime({ job });
  }

  #count(what: Observation): void {
    const { steps, images, stepSeconds, phaseSeconds, regroups, rewinds } = this.#counters;
    const { saved, savedBytes, saveFailures, ended, joined, lost } = this.#counters;
    switch (what.kind) {
      case "step":
        steps.inc({ job: what.job });
        images.inc({ job: what.job }, what.images);
        stepSeconds.observe({ job: what.job }, what.seconds);
        this.#counters.lastStep.setToCurrentTime({ job: what.job });
        return;
      case "phase":
        phaseSeconds.observe({ job: what.job, phase: what.phase }, what.seconds);
        return;
      case "regroup":
        regroups.inc({ job: what.job, reason: what.reason }, what.count);
        return;
      case "rewind":
        rewinds.inc({ job: what.job });
        return;
      case "saved":
        saved.inc({ job: what.job, what: what.what });
        savedBytes.inc({ job: what.job, what: what.what }, what.bytes);
        if (what.what === "checkpoint")
          this.#counters.lastCheckpoint.setToCurrentTime({ job: what.job });
        return;
      case "save-failed":
        saveFailures.inc({ job: what.job, what: what.what });
        return;
      case "ended":
        ended.inc({ state: what.state });
        return;
      case "joined":
        joined.inc();
        return;
      case "lost":
        lost.inc({ reason: what.reason });
        return;
    }
  }

  /** Drops the series of jobs that ended long ago, or are gone. */
  async #forget({ records }: Fleet, wallMs: number): Promise<void> {
    const over = new Set([...this.#jobs].filter((job) => isOver(records.get(job), wallMs)));
    if (over.size === 0) return;
    for (const metric of Object.values(this.#counters)) {
      const { values } = await metric.get();
      for (const { labels } of values) {
        if (over.has(String(labels["job"]))) metric.remove(own(labels));
      }
    }
    for (const job of over) this.#jobs.delete(job);
  }
}

function counters(registry: Registry) {
  const registers = [registry];
  const counter = (name: string, help: string, labelNames: string[]) =>
    new Counter({ name: `bitfleet_${name}`, help, labelNames, registers });
  const histogram = (name: string, help: string, labelNames: string[]) =>
    new Histogram({
      ...{ name: `bitfleet_${name}`, help, labelNames, registers, buckets: secondsBuckets },
    });
  const gauge = (name: string, help: string) =>
    new Gauge<string>({ name: `bitfleet_${name}`, help, labelNames: ["job"], registers });
  return {
    lastStep: gauge(
      "job_last_step_timestamp_seconds",
      "When the last step was committed, or this coordinator took the job up.",
    ),
    lastCheckpoint: gauge(
      "job_last_checkpoint_timestamp_seconds",
      "When the last checkpoint was written, or this coordinator took the job up.",
    ),
    steps: counter("steps_total", "Steps committed.", ["job"]),
    images: counter("images_total", "Examples that went into committed steps.", ["job"]),
    stepSeconds: histogram("step_duration_seconds", "From a step's first deal to its commit.", [
      "job",
    ]),
    phaseSeconds: histogram(
      "step_phase_duration_seconds",
      "One worker's part of a step: computing its shards, and from the deal to the finished sum.",
      ["job", "phase"],
    ),
    regroups: counter("regroups_total", "Changes of a job's members while it trains.", [
      "job",
      "reason",
    ]),
    rewinds: counter("rewinds_total", "Times a job began again from a checkpoint.", ["job"]),
    saved: counter("saves_total", "Checkpoints and weights written.", ["job", "what"]),
    savedBytes: counter("saved_bytes_total", "Bytes of those.", ["job", "what"]),
    saveFailures: counter("save_failures_total", "Checkpoints and weights not written.", [
      "job",
      "what",
    ]),
    ended: counter("jobs_ended_total", "Jobs that came to an end.", ["state"]),
    joined: counter("worker_joins_total", "Workers that joined the fleet.", []),
    lost: counter("worker_losses_total", "Workers that are gone, by how.", ["reason"]),
  };
}

/** A histogram's values have a label for the bucket besides its own. */
function own(labels: Partial<Record<string, string | number>>) {
  return Object.fromEntries(Object.entries(labels).filter(([label]) => label !== "le"));
}
