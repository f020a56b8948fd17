import { advanceMember, emptyMember, memberTimes, type Member } from "../src/control/member.js";
import type {
  ChildCommand,
  ChildEvent,
  Leaving,
  MemberAction,
  MemberHappening,
} from "../src/control/memberEvent.js";
import type { JobOrder, NatsAccess, WorkerEvent } from "../src/control/message.js";
import { WireError } from "../src/job/problem.js";
import { openSession } from "../src/link/grpcClient.js";
import type { SessionClient } from "../src/link/service.js";
import { reachableUrl } from "../src/process/address.js";
import type { TlsFiles } from "../src/process/certificates.js";
import type { Logger } from "../src/process/logger.js";
import type { Numerics } from "../src/process/numerics.js";
import { insteadOf } from "../src/wire/workerEvent.js";
import { ChildProcess, describeExit } from "./childProcess.js";
import { childEnvironment } from "./childEnvironment.js";
import type { ChildNews } from "./childNews.js";
import { lastingFailpoints } from "./failpoint.js";
import type { WorkerMetrics } from "./metrics.js";
import { proveStore } from "./proveStore.js";
import { reconnectDelayMs } from "./reconnecting.js";
import { Tasks } from "./tasks.js";

export interface SupervisorOptions {
  readonly workerId: string;
  readonly incarnation: string;
  readonly secret: string;
  readonly host: string;
  /** HOST:PORT of the coordinator, and its host alone. */
  readonly coordinator: string;
  readonly joinHost: string;
  /** Empty: none. */
  readonly token: string;
  readonly tls: TlsFiles | undefined;
  /** The store as this machine sees it; the coordinator's word where undefined. */
  readonly store: string | undefined;
  readonly numerics: Numerics;
  /** Asked to stop, it waits so long to be released. */
  readonly graceMs: number;
  readonly environment: NodeJS.ProcessEnv;
  /** How long it keeps a job's state without a coordinator. */
  readonly keepStateMs: number;
  readonly logger: Logger;
  readonly metrics: WorkerMetrics;
}

const tickMs = 100;

/**
 * The worker's process for life: JavaScript only, never blocked. It feeds what happens to the
 * member machine and carries out what that says; it decides nothing itself.
 */
export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #tasks: Tasks;
  #member: Member;
  #session: SessionClient | undefined;
  #child: ChildProcess<ChildCommand, ChildEvent | ChildNews> | undefined;
  #children = 0;
  /** Why no coordinator counts on this worker. */
  #unready: string | undefined = "no coordinator has welcomed it yet";
  #store = "";
  #proved = "";
  #term = 0;
  #nats: NatsAccess = { url: "", user: "", secret: "" };
  #failedConnections = 0;
  #aloneSinceMs: number | undefined;
  #reconnectTimer: NodeJS.Timeout | undefined;
  #quit: ((outcome: Leaving) => void) | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    const { workerId, incarnation, secret, host, numerics, graceMs, keepStateMs } = options;
    const identity = {
      ...{ workerId, incarnation, secret, host, pid: process.pid },
      ...{ device: numerics.device, gpu: numerics.gpu, numerics: numerics.text },
    };
    this.#member = emptyMember(identity, { ...memberTimes, graceMs, orphanMs: keepStateMs });
    this.#tasks = new Tasks(options.environment, (event) => this.#handle({ kind: "task", event }));
  }

  /** Runs until the coordinator refuses this worker, is away too long, or the signal asks it to leave. */
  async run(signal: AbortSignal): Promise<Leaving> {
    const outcome = new Promise<Leaving>((resolve) => (this.#quit = resolve));
    const ticking = setInterval(() => this.#handle({ kind: "tick" }), tickMs);
    const leave = (): void => this.#leave(false);
    signal.addEventListener("abort", leave, { once: true });
    this.#connect();
    if (signal.aborted) leave();
    try {
      return await outcome;
    } finally {
      clearInterval(ticking);
      clearTimeout(this.#reconnectTimer);
      signal.removeEventListener("abort", leave);
      this.#quit = undefined;
      this.#session?.close();
      // What they leave in the folder of temporary files is removed once they are gone.
      await Promise.all([this.#child?.end(), this.#tasks.close()]);
    }
  }

  get unready(): string | undefined {
    return this.#unready;
  }

  /** Leaves without finishing anything. */
  hurry(): void {
    this.#leave(true);
  }

  #leave(atOnce: boolean): void {
    this.#handle({ kind: "leave", reason: "it was asked to stop", atOnce });
  }

  #handle(happening: MemberHappening): void {
    const event = { nowMs: performance.now(), ...happening };
    const { member, actions } = advanceMember(this.#member, event);
    this.#member = member;
    for (const action of actions) this.#perform(action);
  }

  #perform(action: MemberAction): void {
    const { logger } = this.#options;
    switch (action.kind) {
      case "start-child":
        return this.#startChild(action.order);
      case "to-child":
        return this.#child?.send(action.command);
      case "kill-child":
        logger.warn({ reason: action.reason }, "killing the job's process");
        return this.#child?.kill();
      case "to-coordinator":
        return this.#say(action.event);
      case "reconnect":
        logger.warn({ reason: action.reason }, "connecting again");
        return this.#session?.cut(action.reason);
      case "start-task":
        return this.#tasks.start(action.taskId, action.task, this.#store);
      case "stop-task":
        return this.#tasks.stop(action.taskId);
      case "note":
        return logger[action.level](action.message);
      case "quit":
        return this.#quit?.(action);
    }
  }

  /** What the coordinator would not take ends no stream: a failure is told in its place. */
  #say(event: WorkerEvent): void {
    try {
      this.#session?.send(event);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.#options.logger.error({ kind: event.kind, reason: error.message }, "it cannot be sent");
      const instead = insteadOf(event, error.message);
      if (instead !== undefined) this.#session?.send(instead);
    }
  }

  #connect(): void {
    const { coordinator, joinHost, token, tls, logger } = this.#options;
    const session = openSession({
      address: coordinator,
      token,
      tls,
      onCommand: (term, command) => {
        if (command.kind === "welcome") {
          this.#failedConnections = 0;
          this.#aloneSinceMs = undefined;
          this.#store = this.#options.store ?? command.store;
          this.#nats = { ...command.nats, url: reachableUrl(command.nats.url, joinHost) };
          this.#term = term;
          this.#unready = undefined;
          this.#options.metrics.connected(true);
          logger.info({ coordinator, term }, "joined the fleet");
          this.#prove();
        }
        this.#handle({ kind: "command", term, command });
      },
      onClosed: (reason, refused) => {
        if (this.#session === session) this.#session = undefined;
        this.#unready = reason;
        this.#options.metrics.connected(false);
        this.#handle({ kind: "disconnected" });
        if (refused) this.#quit?.({ how: "refused", reason });
        else this.#connectLater(reason);
      },
    });
    this.#session = session;
    this.#handle({ kind: "connected" });
  }

  /** Once for each store: another coordinator may name another one. */
  #prove(): void {
    const { environment, logger } = this.#options;
    if (this.#proved === this.#store) return;
    this.#proved = this.#store;
    void proveStore(this.#store, environment, logger);
  }

  #connectLater(reason: string): void {
    if (this.#quit === undefined) return;
    this.#aloneSinceMs ??= performance.now();
    const delayMs = reconnectDelayMs(performance.now() - this.#aloneSinceMs, Math.random());
    // The first failure and every tenth are said; the others are the same again.
    if (this.#failedConnections % 10 === 0) {
      this.#options.logger.warn({ reason }, "no coordinator; trying again");
    }
    this.#failedConnections += 1;
    this.#reconnectTimer = setTimeout(() => this.#connect(), delayMs);
  }

  /** A failpoint without a * is for the first child alone. */
  #failing(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
    const failpoints = environment["BITFLEET_FAILPOINTS"];
    if (failpoints === undefined || this.#children++ === 0) return environment;
    return { ...environment, BITFLEET_FAILPOINTS: lastingFailpoints(failpoints) };
  }

  #startChild(order: JobOrder): void {
    const { environment, incarnation, logger, metrics } = this.#options;
    const child = new ChildProcess<ChildCommand, ChildEvent | ChildNews>({
      file: new URL("child.js", import.meta.url),
      environment: childEnvironment(this.#failing(environment), order.settings),
      onEvent: (event) => {
        if (event.kind === "counted" || event.kind === "wrote") return metrics.hear(event);
        metrics.take(event);
        this.#handle({ kind: "child", event });
      },
      onExit: (exit) => {
        if (this.#child === child) this.#child = undefined;
        metrics.childEnded(exit);
        logger.info({ job: order.job, exit: describeExit(exit) }, "the job's process has ended");
        if (this.#quit === undefined) return;
        this.#handle({
          kind: "child",
          event: { kind: "exited", code: exit.code, signal: exit.signal },
        });
      },
    });
    this.#child = child;
    metrics.childStarted();
    logger.info({ job: order.job, pid: child.pid }, "started a process for the job");
    const place = {
      term: this.#term,
      nats: this.#nats,
      store: this.#store,
      address: incarnation,
    };
    child.send({ kind: "prepare", order, ...place });
  }
}
