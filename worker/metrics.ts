/**
 * What Prometheus reads from a worker. The exchange counts in the job's process, which is another one for each job: the figures of
 * one process are added to those of the processes before it.
 */
import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from "prom-client";

import type { ChildEvent } from "../src/control/memberEvent.js";
import { newCounters, type Counters } from "../src/exchange/counters.js";
import type { TlsFiles } from "../src/process/certificates.js";
import { showExpiry } from "../src/process/expiryGauge.js";
import type { Exit } from "./childProcess.js";
import type { ChildNews } from "./childNews.js";

const secondsBuckets = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300];

export class WorkerMetrics {
  readonly #registry = new Registry();
  readonly #metrics = metrics(this.#registry);
  /** Of the job's process under way, as last told. */
  #counted: Readonly<Counters> = newCounters();

  constructor(tls?: TlsFiles) {
    collectDefaultMetrics({ register: this.#registry });
    showExpiry(this.#registry, tls);
    for (const round of ["training", "evaluation"]) this.#metrics.shards.inc({ round }, 0);
    this.#metrics.connected.set(0);
    this.#metrics.childMemory.set(0);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  /** Whether the coordinator has welcomed this worker. */
  connected(isConnected: boolean): void {
    this.#metrics.connected.set(isConnected ? 1 : 0);
    if (isConnected) this.#metrics.connections.inc();
  }

  childStarted(): void {
    this.#counted = newCounters();
    this.#metrics.children.inc();
  }

  childEnded({ code, signal }: Pick<Exit, "code" | "signal">): void {
    this.#metrics.childMemory.set(0);
    const how = signal !== null ? "signal" : code === 0 ? "clean" : "code";
    this.#metrics.childEnds.inc({ how });
  }

  take(event: ChildEvent): void {
    const { shards, images, shardSeconds, exchangeSeconds, updates } = this.#metrics;
    switch (event.kind) {
      case "shard":
        shards.inc({ round: event.round });
        images.inc({ round: event.round }, event.result.count);
        shardSeconds.observe({ round: event.round }, event.computeMs / 1000);
        return;
      case "summed":
        exchangeSeconds.observe(event.exchangeMs / 1000);
        return;
      case "applied":
        updates.inc();
        return;
      case "save-failed":
        this.#metrics.writeFailures.inc({ what: event.what });
        return;
      case "exchanging":
        this.#metrics.childMemory.set(event.residentBytes);
        this.#metrics.natsAge.set(event.natsAgeMs < 0 ? NaN : event.natsAgeMs / 1000);
        return;
      default:
        return;
    }
  }

  hear(news: ChildNews): void {
    if (news.kind === "wrote") {
      this.#metrics.writeSeconds.observe({ what: news.what }, news.seconds);
      this.#metrics.writtenBytes.inc({ what: news.what }, news.bytes);
      return;
    }
    const { exchange: now } = news;
    const since = (name: keyof Counters): number => Math.max(0, now[name] - this.#counted[name]);
    const { bytes, frames, requests, retries, dropped } = this.#metrics;
    bytes.inc({ direction: "sent" }, since("dataBytesSent"));
    bytes.inc({ direction: "received" }, since("dataBytesTaken"));
    frames.inc(since("dataFramesSent"));
    requests.inc(since("requestsSent"));
    retries.inc(since("requestsRepeated"));
    dropped.inc({ reason: "stale" }, since("stale"));
    dropped.inc({ reason: "damaged" }, since("bad"));
    dropped.inc({ reason: "duplicate" }, since("duplicates"));
    dropped.inc({ reason: "unasked" }, since("unasked"));
    dropped.inc({ reason: "overflow" }, since("overflow"));
    this.#counted = now;
  }
}

function metrics(registry: Registry) {
  const registers = [registry];
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labels: Label[] = [],
  ) => new Counter({ name: `bitfleet_${name}`, help, labelNames: labels, registers });
  const gauge = (name: string, help: string) =>
    new Gauge({ name: `bitfleet_${name}`, help, registers });
  const histogram = <Label extends string = never>(
    name: string,
    help: string,
    labels: Label[] = [],
  ) =>
    new Histogram({
      ...{ name: `bitfleet_${name}`, help, labelNames: labels, registers },
      buckets: secondsBuckets,
    });
  return {
    connected: gauge("worker_connected", "Whether a coordinator has welcomed this worker."),
    connections: counter("worker_connections_total", "Times it was welcomed."),
    children: counter("worker_job_processes_total", "Processes started for jobs."),
    childEnds: counter("worker_job_process_ends_total", "How those ended.", ["how"]),
    childMemory: gauge("worker_job_process_resident_bytes", "Memory of the one under way."),
    natsAge: gauge("worker_nats_round_trip_age_seconds", "Since NATS last answered it."),
    shards: counter("worker_shards_total", "Shards computed.", ["round"]),
    images: counter("worker_images_total", "Examples in those.", ["round"]),
    shardSeconds: histogram("worker_shard_duration_seconds", "Computing a shard.", ["round"]),
    exchangeSeconds: histogram("exchange_duration_seconds", "From a deal to the finished sum."),
    updates: counter("worker_updates_total", "Updates applied."),
    bytes: counter("exchange_bytes_total", "Values exchanged, in bytes.", ["direction"]),
    frames: counter("exchange_frames_sent_total", "Frames with values sent."),
    requests: counter("exchange_requests_total", "Requests for values sent."),
    retries: counter("exchange_retries_total", "Requests sent again for want of an answer."),
    dropped: counter("exchange_frames_dropped_total", "Frames that changed nothing.", ["reason"]),
    writeSeconds: histogram("write_duration_seconds", "Writing checkpoint or weights.", ["what"]),
    writtenBytes: counter("written_bytes_total", "Bytes of those.", ["what"]),
    writeFailures: counter("write_failures_total", "Those that could not be written.", ["what"]),
  };
}
