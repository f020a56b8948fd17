/** The coordinator's process: reads the environment, opens what it needs in order, and undoes it in reverse. */
import { statfs } from "node:fs/promises";
import { hostname } from "node:os";

import { fleetTimes } from "../src/control/fleetEvent.js";
import { jobStatus, workerStatuses } from "../src/control/view.js";
import { processLogger } from "../src/cli/processLogger.js";
import { ConfigError, FailureError, reasonOf } from "../src/job/problem.js";
import { shell } from "../src/job/shell.js";
import { startServer } from "../src/link/grpcServer.js";
import { openRecords, type RecordStore } from "../src/link/jetstream.js";
import type { ServerTls } from "../src/link/service.js";
import { readTls, WatchedTls, warnOfExpiry } from "../src/process/certificates.js";
import { findNatsServer } from "../src/link/natsServer.js";
import { hostPort, isLoopback, nameForOthers } from "../src/process/address.js";
import { readEnvironment, type Environment } from "../src/process/environment.js";
import { tlsFiles } from "../src/process/tlsFiles.js";
import { hasEnded, ownIdentity } from "../src/process/identity.js";
import { natsTls } from "../src/process/natsSettings.js";
import type { Logger } from "../src/process/logger.js";
import { freePort } from "../src/process/port.js";
import { run, type Shutdown } from "../src/process/shutdown.js";
import { askStarter } from "../src/process/starter.js";
import { TokenBook } from "../src/process/tokenBook.js";
import { toolchainFile } from "../src/process/toolchain.js";
import { pruneCheckpoints } from "../src/store/checkpoint.js";
import { openStore } from "../src/store/openStore.js";
import type { Store } from "../src/store/store.js";
import { Autoscaler } from "./autoscaler.js";
import { claimHome } from "./homeClaim.js";
import type { Surroundings } from "./gauges.js";
import { serveHttp, type Metrics } from "./http.js";
import { startLocalNats } from "./localNats.js";
import { CoordinatorLock } from "./lock.js";
import { Loop, type LoopOptions } from "./loop.js";
import { openMemory, type Memory } from "./memory.js";
import { CoordinatorMetrics } from "./metrics.js";
import { namedNats, type ReachedNats } from "./natsAccess.js";
import { NatsNews } from "./natsNews.js";
import { clearPredictions } from "./predictions.js";
import { RemovedJobs } from "./removedJobs.js";
import { StoreTerms } from "./terms.js";
import { Training, type TrainingOptions } from "./training.js";

interface Setting {
  readonly environment: Environment;
  /** Who has a token; undefined: everybody may do everything. */
  readonly callers: TokenBook | undefined;
  readonly tls: ServerTls | undefined;
  /** The gRPC port, found free. */
  readonly port: number;
  readonly logger: Logger;
  readonly shutdown: Shutdown;
  /** Ends the process as failed. */
  readonly fail: (error: unknown) => void;
}

/** What /readyz and /status show; filled in as the process gets there. */
interface Shown {
  term: number;
  unready: string | undefined;
  loop: Loop | undefined;
  readonly metrics: CoordinatorMetrics;
  /** Why we act no more: another coordinator does. */
  deposed: FailureError | undefined;
}

const flushMs = 3000;

run(coordinate, { debug: process.env["LOG_LEVEL"] === "debug" });

async function coordinate(shutdown: Shutdown): Promise<number> {
  const environment = readEnvironment(process.env);
  const { host } = environment;
  const logger = processLogger({ process: "coordinator" }, environment);
  const callers = knownCallers(environment, logger);
  if (callers === undefined && !isLoopback(host))
    throw new ConfigError(
      `--host (BITFLEET_HOST) is ${host}, which others can reach: --token-file (BITFLEET_TOKEN_FILE) must name a file with a token`,
    );
  shutdown.add("the tokens", () => callers?.close());
  const port = await freePort(host, environment.port, "--port (BITFLEET_PORT)");
  let fail: (error: unknown) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => (fail = reject));
  const tls = serverTls(environment, logger, shutdown);
  if (tls === undefined && !isLoopback(host))
    logger.warn("without TLS tokens and weights travel in the clear: see BITFLEET_TLS_CERT_FILE");
  const setting = { environment, callers, tls, port, logger, shutdown, fail };
  const serving = serve(setting).catch((error: unknown) => {
    // A standby that is told to stop has not failed.
    if (!shutdown.signal.aborted) throw error;
  });
  await Promise.race([failed, Promise.all([serving, shutdown.requested()])]);
  return 0;
}

function knownCallers(
  { tokenFile, tokensFile }: Environment,
  logger: Logger,
): TokenBook | undefined {
  if (tokenFile === undefined && tokensFile === undefined) return undefined;
  return TokenBook.open({ tokenFile, tokensFile, warn: (sentence) => logger.warn(sentence) });
}

function serverTls(
  { tls, clientCertificates }: Environment,
  logger: Logger,
  shutdown: Shutdown,
): ServerTls | undefined {
  if (tls?.certificate === undefined) return undefined;
  const warn = (sentence: string): void => logger.warn(sentence);
  const watched = new WatchedTls(tls, warn);
  watched.onChange(() => logger.info("took up other certificates"));
  shutdown.add("the certificates", () => watched.close());
  shutdown.add("the look at certificates", warnOfExpiry(tls, warn));
  return { watched, clientCertificates };
}

/** What it cannot do is told now, and not by the first job. */
async function provedStore({ store: address }: Environment, logger: Logger): Promise<Store> {
  const store = await openStore(address, process.env);
  for (const limit of await store.prove()) logger.warn(limit);
  return store;
}

async function serve(setting: Setting): Promise<void> {
  const { environment, logger, shutdown } = setting;
  const shown: Shown = {
    ...{ term: 0, unready: "it is starting", loop: undefined, deposed: undefined },
    metrics: new CoordinatorMetrics(environment.tls),
  };
  await openHttp(setting, shown);
  const nats = await reachNats(setting);
  const store = await provedStore(environment, logger);
  const news = new NatsNews();
  const durable = await openDurable(setting, nats, news);
  // Ends after the last write, and so later than the shutdown begins.
  const life = new AbortController();
  shutdown.add("the connection to NATS", async () => {
    life.abort();
    await durable.close();
  });
  const lock = await acquire(setting, { durable, store, life, shown });
  news.forgetEmptied();
  const onConflict = (reason: string): void => stepDown(setting, shown, reason);
  const [{ signal }, isHolder] = [life, (): Promise<boolean> => lock.confirm()];
  const removed = await RemovedJobs.open(store);
  const memory = await openMemory({
    ...{ durable, store, term: () => lock.term, signal, logger, isHolder, onConflict },
    onUnwritable: failJob(logger, shown),
    isRemoved: (job) => removed.has(job),
  });
  checkHolder(shown);
  const loop = new Loop({
    fleet: {
      ...fleetTimes,
      term: lock.term,
      nats: nats.workerAccess,
      store: environment.store,
      joinLine: joinLine(setting),
    },
    memory,
    logger,
    onAdvance: (before, after, happening) => shown.metrics.take(before, after, happening),
    discard: discarder(store, logger),
    onFatal: setting.fail,
    onHigherTerm: (term) => lock.raise(term),
  });
  begin(setting, shown, loop);
  news.listen({
    onConnection: (isUp) => loop.handle({ kind: "nats", isUp }),
    onEmptied: (what) => memory.writeAgain(what, loop.fleet.records.values()),
  });
  shutdown.add("the job records", async () => {
    loop.stop();
    await memory.flush(flushMs);
  });
  const training = new Training({
    ...{ loop, store, removed, isHolder, scale: askStarter, signal, ...ofMemory(memory) },
  });
  void training.finishRemovals(memory.halfRemoved, logger);
  const server = await startServer({
    host: environment.host,
    port: setting.port,
    ...{ callers: setting.callers, tls: setting.tls },
    training,
    onSession: (session) => loop.attach(session),
    onError: (error) => logger.error({ error: String(error) }, "a fault of our own in a call"),
  });
  shutdown.add("the calls under way", () => server.close("the coordinator is stopping"));
  checkHolder(shown);
  shown.unready = undefined;
  const [{ host, port }, { url }] = [server, nats.workerAccess];
  logger.info({ host, port, nats: url, term: lock.term, jobs: memory.found.length }, "serving");
}

function ofMemory(memory: Memory): Pick<TrainingOptions, "logs" | "forget" | "unreadable"> {
  const { logs, unreadable } = memory;
  return { logs, unreadable, forget: (job) => memory.remove(job) };
}

function openDurable(
  { environment, logger }: Setting,
  nats: ReachedNats,
  news: NatsNews,
): Promise<RecordStore> {
  return openRecords(nats.target, {
    onTrouble: (problem) => {
      if (problem === undefined) logger.info("NATS answers again");
      else logger.warn({ problem }, "what is to be kept in NATS waits");
    },
    onConnection: news.onConnection,
    onEmptied: news.onEmptied,
    onBounded: (sentence) => logger.warn(sentence),
    logBytesMax: environment.logBytes,
  });
}

/** A job of which no record can be kept fails; the others go on. */
function failJob(logger: Logger, shown: Shown): (job: string, problem: string) => void {
  return (job, problem) => {
    logger.error({ job, problem }, "the record of a job cannot be kept");
    shown.loop?.handle({ kind: "unwritable", job, problem });
  };
}

/** Ids of workers belong to a token for as long as it is known. Returns how to stop. */
function watchTokens(callers: TokenBook, loop: Loop): () => void {
  let before = callers.names;
  return callers.onChange(() => {
    const { names } = callers;
    for (const token of before)
      if (!names.has(token)) loop.handle({ kind: "token-revoked", token });
    before = names;
  });
}

/** The loop is there to be shown, to hear of tokens, and to scale workers by. */
function begin(
  { environment, callers, logger, shutdown }: Setting,
  shown: Shown,
  loop: Loop,
): void {
  shown.loop = loop;
  if (callers !== undefined) shutdown.add("the look at tokens", watchTokens(callers, loop));
  const { scaling: target } = environment;
  if (target === undefined) return;
  const fleet = (): Loop["fleet"] => loop.fleet;
  const autoscaler = new Autoscaler({ target, variables: process.env, fleet, logger });
  shutdown.add("the scaling of workers", () => autoscaler.stop());
}

async function openHttp(setting: Setting, shown: Shown): Promise<void> {
  const { environment, callers, tls, logger, shutdown } = setting;
  const http = await serveHttp({
    host: environment.host,
    port: environment.httpPort,
    callers,
    tls,
    unready: () => shown.unready,
    status: () => status(shown),
    metrics: () => scrape(shown, environment.store),
    metricsAreOpen: environment.metricsAreOpen,
  });
  shutdown.add("the HTTP server", () => http.close());
  logger.info({ host: environment.host, port: http.port }, "answering HTTP");
}

function status({ term, unready, loop }: Shown): unknown {
  const nowMs = performance.now();
  const fleet = loop?.fleet;
  const jobs = [...(fleet?.records.keys() ?? [])];
  return {
    term,
    ready: unready === undefined,
    reason: unready ?? "",
    jobs: fleet === undefined ? [] : jobs.map((job) => jobStatus(fleet, job, nowMs)),
    workers: fleet === undefined ? [] : workerStatuses(fleet, nowMs),
  };
}

async function scrape({ term, unready, loop, metrics }: Shown, store: string): Promise<Metrics> {
  const surroundings = {
    ...{ fleet: loop?.fleet, isLeader: unready === undefined, term },
    ...{ nowMs: performance.now(), wallMs: Date.now(), disk: await diskOf(store) },
  };
  return { contentType: metrics.contentType, text: await metrics.text(surroundings) };
}

async function diskOf(folder: string): Promise<Surroundings["disk"]> {
  try {
    const { bavail, blocks, bsize } = await statfs(folder);
    return { freeBytes: bavail * bsize, sizeBytes: blocks * bsize };
  } catch {
    return undefined;
  }
}

/** The server that was named, or one of our own. */
async function reachNats({ environment, tls, logger, shutdown }: Setting): Promise<ReachedNats> {
  const { nats, host, home, natsPort } = environment;
  const clientTls = natsTls(process.env, nats?.url ?? "");
  const warn = (sentence: string): void => logger.warn(sentence);
  const ownFiles = tlsFiles(process.env, "NATS_");
  if (ownFiles !== undefined) {
    readTls(ownFiles);
    shutdown.add("the look at certificates for NATS", warnOfExpiry(ownFiles, warn));
  }
  if (nats !== undefined) return namedNats(nats, clientTls, warn);
  const claim = await claimHome(home);
  shutdown.add("the claim on the state folder", () => claim.release());
  const binary = await findNatsServer(process.env, toolchainFile());
  const server = await startLocalNats({ binary, host, natsPort, home, tls, clientTls, logger });
  shutdown.add("the NATS server", () => server.stop());
  logger.info({ url: server.workerAccess.url }, "started a NATS server");
  return server;
}

async function acquire(
  setting: Setting,
  {
    durable,
    store,
    life,
    shown,
  }: {
    readonly durable: RecordStore;
    readonly store: Store;
    readonly life: AbortController;
    readonly shown: Shown;
  },
): Promise<CoordinatorLock> {
  const { logger, shutdown } = setting;
  const giveUp = (): void => life.abort();
  shutdown.signal.addEventListener("abort", giveUp);
  const lock = await CoordinatorLock.acquire(durable.lock, {
    holder: `${hostname()}, process ${process.pid}`,
    identity: ownIdentity(),
    isGone: hasEnded,
    terms: new StoreTerms(store, logger, life.signal),
    signal: life.signal,
    onWait: (holder, term) => {
      shown.unready = `it is a standby: ${holder} is the coordinator`;
      logger.info({ holder, term }, "waiting as a standby: another coordinator holds the lock");
    },
    onLost: (reason) => stepDown(setting, shown, reason),
  });
  shutdown.signal.removeEventListener("abort", giveUp);
  shutdown.add("the coordinator's lock", () => lock.release());
  shown.term = lock.term;
  await clearPredictions(store).catch((error: unknown) =>
    logger.warn({ reason: reasonOf(error) }, "pictures of earlier predictions stay in the store"),
  );
  return lock;
}

/** Acts no more, at once: another coordinator does. */
function stepDown(setting: Setting, shown: Shown, reason: string): void {
  shown.loop?.stop();
  shown.unready = reason;
  shown.deposed ??= new FailureError(`this coordinator steps down: ${reason}`);
  setting.fail(shown.deposed);
}

/** The office may be lost while what it takes is still being opened. */
function checkHolder({ deposed }: Shown): void {
  if (deposed !== undefined) throw deposed;
}

function joinLine({ environment, callers, port }: Setting): string {
  const { host } = environment;
  const address = hostPort({ host: nameForOthers(host), port });
  const line = shell`bitfleet worker --join ${address}`;
  return callers === undefined ? line : `${line} --token-file F`;
}

/** One after the other, so that two of one job never meet. */
function discarder(store: Store, logger: Logger): LoopOptions["discard"] {
  let last = Promise.resolve();
  return (job, keep, upTo) => {
    last = last
      .then(() => pruneCheckpoints(store, job, keep, upTo))
      .catch((error: unknown) =>
        logger.warn({ job, reason: String(error) }, "old checkpoints stay"),
      );
  };
}
