/** Does a fault to the fleet. */
import { setTimeout as sleep } from "node:timers/promises";
import type { ChaosFleet, Post } from "./fleet.js";
import type { KeptProcess } from "./keptProcess.js";
import { childrenOf, commandOf, signal } from "./processes.js";
import type { Direction, FaultProxy, Harm } from "./proxy.js";
import type { Fault } from "./schedule.js";

/** What a fault did. */
export interface Injected {
  /** False where its victim was not there at the moment. */
  readonly hit: boolean;
  /** The worker whose state is gone, if it had one. */
  readonly died: string | undefined;
  /** Resolves when the fault is over: what it took away is back, or has been started again. */
  readonly over: Promise<void>;
}

/** A way that is bad, and not broken. */
const slowWay: Harm = { delayMs: 40, bytesPerSecond: 2_000_000 };

export function inject(fleet: ChaosFleet, fault: Fault): Injected {
  const post = fleet.posts[fault.worker];
  if (post === undefined) throw new Error(`no worker ${fault.worker}`);
  const { process: worker, grpc, nats } = post;
  const { kind, ms } = fault;
  switch (kind) {
    case "worker-kill":
      return killed(worker, 0);
    case "worker-stop":
      return stopped(worker.pid === undefined ? [] : [worker.pid, ...childrenOf(worker.pid)], ms);
    case "child-kill":
      return killedChild(post);
    case "child-stop":
      return stopped([jobProcess(worker)], ms);
    case "worker-drain":
    case "worker-leave":
      return left(worker, ms);
    case "grpc-to-coordinator":
      return harmed([grpc], ["toServer"], { cut: true }, ms);
    case "grpc-to-worker":
      return harmed([grpc], ["toClient"], { cut: true }, ms);
    case "grpc-cut":
      return harmed([grpc], bothWays, { cut: true }, ms);
    case "nats-to-server":
      return harmed([nats], ["toServer"], { cut: true }, ms);
    case "nats-to-worker":
      return harmed([nats], ["toClient"], { cut: true }, ms);
    case "nats-cut":
      return harmed([nats], bothWays, { cut: true }, ms);
    case "all-cut":
      return harmed([grpc, nats], bothWays, { cut: true }, ms);
    case "slow":
      return harmed([grpc, nats], bothWays, slowWay, ms);
    case "reset":
      return reset([grpc, nats]);
    case "coordinator-kill":
      return { ...killed(fleet.coordinator, ms), died: undefined };
    case "coordinator-stop":
      return stopped([fleet.coordinator.pid], ms);
    case "coordinator-nats-cut":
      return harmed([fleet.coordinatorNats], bothWays, { cut: true }, ms);
    case "nats-kill":
      return { ...killed(fleet.nats, ms), died: undefined };
    case "nats-stop":
      return stopped([fleet.nats.pid], ms);
  }
}

const bothWays: readonly Direction[] = ["toServer", "toClient"];

function killed(process: KeptProcess, ms: number): Injected {
  const hit = process.pid !== undefined;
  const again = async (): Promise<void> => {
    await process.kill();
    if (ms > 0) await sleep(ms);
    process.start();
  };
  return { hit, died: process.name, over: again() };
}

function killedChild({ process }: Post): Injected {
  const pid = jobProcess(process);
  const hit = pid !== undefined && signal(pid, "SIGKILL");
  return { hit, died: hit ? process.name : undefined, over: Promise.resolve() };
}

function stopped(pids: readonly (number | undefined)[], ms: number): Injected {
  const there = pids.flatMap((pid) => (pid !== undefined && signal(pid, "SIGSTOP") ? [pid] : []));
  const again = async (): Promise<void> => {
    await sleep(ms);
    for (const pid of there) signal(pid, "SIGCONT");
  };
  return { hit: there.length > 0, died: undefined, over: there.length > 0 ? again() : done };
}

/** The first signal costs nobody the state; a second one has the worker leave at once. */
function left(process: KeptProcess, ms: number): Injected {
  const hit = process.pid !== undefined;
  const died = process.isEnding ? process.name : undefined;
  const again = async (): Promise<void> => {
    await process.stop();
    if (ms > 0) await sleep(ms);
    process.start();
  };
  return { hit, died, over: again() };
}

function harmed(
  proxies: readonly FaultProxy[],
  directions: readonly Direction[],
  harm: Harm,
  ms: number,
): Injected {
  const hit = proxies.some(({ connections }) => connections > 0);
  for (const proxy of proxies) for (const way of directions) proxy.harm(way, harm);
  const again = async (): Promise<void> => {
    await sleep(ms);
    for (const proxy of proxies) proxy.heal();
  };
  return { hit, died: undefined, over: again() };
}

function reset(proxies: readonly FaultProxy[]): Injected {
  const hit = proxies.some(({ connections }) => connections > 0);
  for (const proxy of proxies) proxy.reset();
  return { hit, died: undefined, over: done };
}

const done = Promise.resolve();

/** The process that a worker runs its job in. */
function jobProcess({ pid }: KeptProcess): number | undefined {
  if (pid === undefined) return undefined;
  return childrenOf(pid).find((child) =>
    commandOf(child).some((part) => part.endsWith("worker/child.js")),
  );
}
