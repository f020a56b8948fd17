/** Which fault comes when: a pure function of the seed. */
import { Random } from "../../src/plan/random.js";

/** How long each kind lasts, in seconds from and to; 0 for what is over at once. */
const seconds = {
  /** SIGKILL to a worker, which is started again at once. */
  "worker-kill": [0, 0],
  /** SIGSTOP to a worker and its child: it wakes up as a zombie. */
  "worker-stop": [1, 15],
  /** SIGKILL to the process of the job alone. */
  "child-kill": [0, 0],
  "child-stop": [1, 8],
  /** SIGTERM; started again once it has gone. */
  "worker-drain": [0, 0],
  /** SIGTERM, and away for a while: scaled down and up. */
  "worker-leave": [2, 10],
  /** gRPC half open: nothing of the worker's reaches the coordinator, and the reverse. */
  "grpc-to-coordinator": [1, 10],
  "grpc-to-worker": [1, 10],
  "grpc-cut": [1, 10],
  "nats-to-server": [1, 10],
  "nats-to-worker": [1, 10],
  "nats-cut": [1, 10],
  /** A worker cut off from everything. */
  "all-cut": [1, 12],
  /** RST on all connections of a worker. */
  reset: [0, 0],
  /** 40 ms more in every direction, and 2 MB/s. */
  slow: [2, 8],
  "coordinator-kill": [0, 2],
  "coordinator-stop": [1, 5],
  "coordinator-nats-cut": [1, 6],
  "nats-kill": [0, 2],
  "nats-stop": [1, 5],
} as const;

export type FaultKind = keyof typeof seconds;

export const faultKinds: readonly FaultKind[] = [
  ...(["worker-kill", "worker-stop", "child-kill", "child-stop"] as const),
  ...(["worker-drain", "worker-leave"] as const),
  ...(["grpc-to-coordinator", "grpc-to-worker", "grpc-cut"] as const),
  ...(["nats-to-server", "nats-to-worker", "nats-cut"] as const),
  ...(["all-cut", "reset", "slow"] as const),
  ...(["coordinator-kill", "coordinator-stop", "coordinator-nats-cut"] as const),
  ...(["nats-kill", "nats-stop"] as const),
];

export interface Fault {
  /** From the start of the chaos. */
  readonly atMs: number;
  readonly kind: FaultKind;
  /** 0 to workers - 1; of no meaning for faults of the coordinator and of NATS. */
  readonly worker: number;
  /** How long it lasts. */
  readonly ms: number;
}

export interface ScheduleOptions {
  readonly seed: number;
  readonly kinds: readonly FaultKind[];
  readonly workers: number;
  /** Mean time from one fault to the next; none comes before two fifths of it. */
  readonly everyMs: number;
  readonly untilMs: number;
  readonly countMax: number;
  /** No fault lasts longer. */
  readonly longestMs: number;
}

/**
 * Kinds come in shuffled rounds, so that each fires about as often as any other. What one fault has
 * taken away, no other takes away before it is back.
 */
export function schedule(options: ScheduleOptions): readonly Fault[] {
  const { seed, kinds, workers, everyMs, untilMs, countMax, longestMs } = options;
  const random = new Random(seed, 0xc4a05);
  const busyUntilMs = new Map<string, number>();
  const faults: Fault[] = [];
  let round: FaultKind[] = [];
  let atMs = 0;
  while (faults.length < countMax && kinds.length > 0) {
    atMs += everyMs * (0.4 - 0.6 * Math.log(1 - random.float()));
    if (atMs >= untilMs) break;
    if (round.length === 0) round = shuffled(kinds, random);
    const first = random.below(workers);
    const length = random.float();
    const next = firstPossible(round, { first, workers, busyUntilMs, atMs });
    if (next === undefined) continue;
    const { kind, worker } = next;
    round = without(round, kind);
    const [shortest, longest] = seconds[kind];
    const ms = Math.min(longestMs, Math.round(1000 * (shortest + length * (longest - shortest))));
    busyUntilMs.set(targetOf(kind, worker), atMs + ms);
    faults.push({ atMs: Math.round(atMs), kind, worker, ms });
  }
  return faults;
}

interface Moment {
  /** The worker to try first. */
  readonly first: number;
  readonly workers: number;
  readonly busyUntilMs: ReadonlyMap<string, number>;
  readonly atMs: number;
}

/** The first kind whose victim is free at that moment. */
function firstPossible(
  kinds: readonly FaultKind[],
  { first, workers, busyUntilMs, atMs }: Moment,
): { readonly kind: FaultKind; readonly worker: number } | undefined {
  for (const kind of kinds) {
    for (let i = 0; i < workers; i += 1) {
      const worker = (first + i) % workers;
      if ((busyUntilMs.get(targetOf(kind, worker)) ?? 0) <= atMs) return { kind, worker };
    }
  }
  return undefined;
}

function targetOf(kind: FaultKind, worker: number): string {
  if (kind.startsWith("coordinator-")) return "coordinator";
  return kind === "nats-kill" || kind === "nats-stop" ? "nats" : `worker ${worker}`;
}

function without(kinds: readonly FaultKind[], gone: FaultKind): FaultKind[] {
  const at = kinds.indexOf(gone);
  return kinds.filter((_, i) => i !== at);
}

function shuffled(kinds: readonly FaultKind[], random: Random): FaultKind[] {
  const order = Uint32Array.from(kinds.keys());
  random.shuffle(order);
  return [...order].flatMap((i) => kinds[i] ?? []);
}
