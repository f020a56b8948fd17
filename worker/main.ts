import { hostname } from "node:os";
import { ConfigError, FailureError } from "../src/job/problem.js";
import { hostPort } from "../src/process/address.js";
import { cacheSetting } from "../src/process/cacheSetting.js";
import { cpuProblem } from "../src/process/cpu.js";
import { readTls, warnOfExpiry } from "../src/process/certificates.js";
import { readEnvironment, readTokenFile } from "../src/process/environment.js";
import { tlsFiles } from "../src/process/tlsFiles.js";
import { processLogger } from "../src/cli/processLogger.js";
import type { Logger } from "../src/process/logger.js";
import { linkRootsOf } from "../src/process/linkRoots.js";
import { pixelsSetting } from "../src/process/pixelsSetting.js";
import { numerics } from "../src/process/numerics.js";
import { run } from "../src/process/shutdown.js";
import { clearTemporary } from "../src/process/temporaryFolder.js";
import { readToolchain } from "../src/process/toolchain.js";
import { incarnationOf, newSecret } from "../src/wire/incarnation.js";
import { parseFailpoints } from "./failpoint.js";
import { serveWorkerHttp } from "./http.js";
import { WorkerMetrics } from "./metrics.js";
import { Supervisor } from "./supervisor.js";

/** What ending a job's process may take on top of the grace. */
const endingMs = 10_000;

/** One worker: joins a coordinator and takes part in its jobs until it is told to stop. */
run(
  async (shutdown) => {
    const environment = readEnvironment(process.env, "worker");
    const { join } = environment;
    if (join === undefined)
      throw new ConfigError(
        "--join is not given (nor BITFLEET_JOIN set): it must be the coordinator's HOST:PORT",
      );
    const lacking = readDataSettings(process.env);
    const failpoints = parseFailpoints(process.env["BITFLEET_FAILPOINTS"]);
    const secret = newSecret();
    const incarnation = incarnationOf(secret);
    const workerId = environment.workerId ?? defaultWorkerId(incarnation);
    const logger = processLogger({ worker: workerId }, environment);
    const token =
      environment.tokenFile === undefined ? undefined : readTokenFile(environment.tokenFile);
    for (const sentence of [token?.warning, ...lacking])
      if (sentence !== undefined) logger.warn(sentence);
    if (failpoints.length > 0) logger.warn({ failpoints }, "it will fail on purpose");
    const { tls } = environment;
    for (const files of [tls, tlsFiles(process.env, "NATS_")]) {
      if (files === undefined) continue;
      readTls(files);
      const look = warnOfExpiry(files, (sentence) => logger.warn(sentence));
      shutdown.add("the look at certificates", look);
    }
    void clearLeft(logger);
    const { tfVersion: tensorflow, gpu } = readToolchain();
    const metrics = new WorkerMetrics(tls);
    const supervisor = new Supervisor({
      workerId,
      incarnation,
      secret,
      host: hostname(),
      coordinator: hostPort(join),
      joinHost: join.host,
      token: token?.token ?? "",
      tls,
      store: process.env["BITFLEET_STORE"] === undefined ? undefined : environment.store,
      numerics: numerics(process.env, { tensorflow, gpu }),
      graceMs: environment.graceMs,
      environment: process.env,
      keepStateMs: environment.keepStateSeconds * 1000,
      logger,
      metrics,
    });
    const { workerHttp } = environment;
    if (workerHttp !== undefined) {
      const unready = (): string | undefined => supervisor.unready;
      const http = await serveWorkerHttp({ address: workerHttp, unready, metrics });
      shutdown.add("the HTTP server", () => http.close());
      logger.info({ host: workerHttp.host, port: http.port }, "answering HTTP");
    }
    shutdown.graceMs = environment.graceMs + endingMs;
    shutdown.onHurry(() => supervisor.hurry());
    const { how, reason } = await supervisor.run(shutdown.signal);
    logger.info({ reason }, "left the fleet");
    switch (how) {
      case "left":
        return 0;
      case "refused":
        throw new ConfigError(`the coordinator refused this worker: ${reason}`);
      case "dismissed":
        throw new FailureError(`the coordinator told this worker to end: ${reason}`);
      case "orphaned":
        throw new FailureError(
          `${reason} at ${hostPort(join)}: the device is free again; see --keep-state`,
        );
    }
  },
  { debug: process.env["LOG_LEVEL"] === "debug" },
);

async function clearLeft(logger: Logger): Promise<void> {
  const folders = await clearTemporary();
  if (folders > 0) logger.info({ folders }, "removed what processes left that are gone");
}

/** What is wrong with the settings of data is refused now rather than by a job. Returns what this machine lacks, a sentence each. */
function readDataSettings(variables: NodeJS.ProcessEnv): readonly string[] {
  linkRootsOf(variables);
  pixelsSetting(variables);
  const noCache = "there is no home folder for a cache of pictures: BITFLEET_CACHE may name one";
  const hasCache = cacheSetting(variables, true) !== undefined;
  return [hasCache ? undefined : noCache, cpuProblem()].filter((one) => one !== undefined);
}

/** Told apart by people: the host's name, and a part of the incarnation for several on one host. */
function defaultWorkerId(incarnation: string): string {
  const host = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, "-")
    .replace(/^-+/, "")
    .slice(0, 40);
  return `${host === "" ? "worker" : host}-${incarnation.slice(0, 6)}`;
}
