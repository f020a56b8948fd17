import { faultNames, faults, type Fault } from "./faults.js";
import { Scene } from "./scene.js";

export interface Outcome {
  readonly seed: number;
  readonly mistakes: readonly string[];
  readonly rounds: number;
  readonly redone: number;
  /** How often a job went back to a checkpoint: each time it was asked who still held its state. */
  readonly rewound: number;
  /** The longest that the first job went without a decision, from its first step on. */
  readonly longestGapMs: number;
  /** How much longer than those before a round took in which somebody joined, at most. */
  readonly joinCostMs: number;
  readonly fired: ReadonlyMap<Fault, number>;
  readonly story: readonly string[];
  /** When everything was done, in simulated ms. */
  readonly endMs: number;
  /** When the last fault was healed. */
  readonly healedMs: number;
}

export interface SimulationOptions {
  readonly faults: readonly Fault[];
  /** Mean time between two faults. */
  readonly everyMs: number;
  readonly faultsEndMs: number;
  /** After the faults have ended the jobs must be done within this. */
  readonly graceMs: number;
}

export const simulationDefaults: SimulationOptions = {
  faults: faultNames,
  everyMs: 1_000,
  faultsEndMs: 20_000,
  graceMs: 150_000,
};

/** Faults go on for up to twice as long as planned until there were so many. */
const faultsMin = 5;

/** One fleet under one seed, with a few jobs, until all are done. */
export async function simulate(seed: number, options = simulationDefaults): Promise<Outcome> {
  const scene = new Scene(seed);
  const { world, ledger } = scene;
  const fired = new Map<Fault, number>();
  const hasFaults = options.faults.length > 0;
  const workers = hasFaults ? 2 + (seed % 2) : 3 + (seed % 3);
  for (const kind of scene.kinds.slice(0, workers)) scene.startWorker(kind);
  submitJobs(scene);
  keepUp(scene);
  let healedMs = 0;
  const end = (): void => {
    healedMs = world.nowMs;
    heal(scene);
    world.after(options.graceMs, () => {
      world.end();
    });
  };
  if (hasFaults) inject(scene, options, { fired, end });
  else end();
  watch(scene, () => healedMs > 0 || !hasFaults);
  await world.run();
  scene.checkEnd();
  const { rounds, redone, rewound, mistakes, longestGapMs, joinCostMs } = ledger;
  return {
    seed,
    longestGapMs,
    joinCostMs,
    mistakes,
    rounds,
    redone,
    rewound,
    fired,
    story: world.story,
    endMs: world.nowMs,
    healedMs,
  };
}

/** Ends the world at the first mistake, or when all is done. */
function watch(scene: Scene, isHealed: () => boolean): void {
  const { world, ledger } = scene;
  world.after(100, () => {
    scene.check();
    const isDone = isHealed() && scene.isDone() && noTaskIsOpen(scene);
    if (ledger.mistakes.length > 0 || isDone) world.end();
    else watch(scene, isHealed);
  });
}

/** A client asks until it has an answer, and again where all that was kept of a job that has not begun is lost. */
function submitJobs(scene: Scene): void {
  const { world, ledger } = scene;
  world.after(300, () => {
    const [coordinator] = scene.reigning();
    coordinator?.process.do(() => {
      for (const { name, submitMs, record } of scene.jobs) {
        const isKnown = coordinator.fleet?.records.has(name) !== false || scene.removals.has(name);
        if (submitMs > world.nowMs || ledger.hasBegun(name) || isKnown) continue;
        // The index of a job to come is held by coordinator/training.ts, which is not simulated.
        if (scene.removals.isUnderWay) continue;
        scene.shelf.putIndex(record.indexDigest);
        coordinator.handle({ kind: "submit", record });
      }
    });
    submitJobs(scene);
  });
}

/** Somebody starts the coordinator again, and after the faults resumes what was cancelled. */
function keepUp(scene: Scene): void {
  scene.world.after(scene.world.between(300, 1_500), () => {
    if (!scene.coordinators.some(({ process }) => process.isAlive)) scene.startCoordinator();
    scene.removals.askAgain();
    keepUp(scene);
  });
}

function inject(
  scene: Scene,
  options: SimulationOptions,
  { fired, end }: { readonly fired: Map<Fault, number>; readonly end: () => void },
): void {
  const { world } = scene;
  world.after(world.between(1, 2 * options.everyMs), () => {
    const count = [...fired.values()].reduce((sum, times) => sum + times, 0);
    const lateMs = world.nowMs - options.faultsEndMs;
    if (lateMs >= (count < faultsMin ? options.faultsEndMs : 0)) {
      end();
      return;
    }
    const fault = world.pick(options.faults);
    if (fault !== undefined && faults[fault](scene)) fired.set(fault, (fired.get(fault) ?? 0) + 1);
    inject(scene, options, { fired, end });
  });
}

function heal(scene: Scene): void {
  const { world } = scene;
  world.tell("no more faults");
  scene.frames.heal();
  scene.jetStream.heal();
  // Who is waited for is told; somebody ends it where a deadline may not.
  for (const worker of scene.alive()) if (worker.child?.isStuck === true) worker.crashChild();
  // Whoever computed wrongly is not asked again: its machine is replaced.
  scene.spoilt?.kill();
  for (const kind of scene.kinds.slice(0, 3)) {
    if (scene.workers.get(kind.workerId)?.process.isAlive !== true) scene.startWorker(kind);
  }
  const resume = (): void => {
    startPinned(scene);
    const [coordinator] = scene.reigning();
    for (const { name } of scene.jobs) {
      // As a client sees it: what a coordinator wrote that was replaced was never told to anyone.
      if (coordinator?.fleet?.records.get(name)?.state !== "cancelled") continue;
      if (scene.removals.has(name)) continue;
      coordinator.process.do(() => {
        coordinator.handle({ kind: "resume", job: name });
      });
    }
    world.after(2_000, resume);
  };
  resume();
}

function noTaskIsOpen(scene: Scene): boolean {
  return scene.coordinators.every(
    ({ process, tasks }) => !process.isAlive || ![...tasks.values()].includes("open"),
  );
}

/** A job that is pinned to other arithmetic than most workers have needs one of its own, as long as it does. */
function startPinned(scene: Scene): void {
  for (const { name } of scene.jobs) {
    const { numerics = "toy", probe = "sound" } = scene.jetStream.record(name)?.pin ?? {};
    if (numerics === "toy" && probe === "sound") continue;
    const workerId = `w-${numerics}-${probe}`;
    if (scene.workers.get(workerId)?.process.isAlive === true) continue;
    const [kind] = scene.kinds;
    if (kind !== undefined) scene.startWorker({ ...kind, workerId, numerics, probe, shardMs: 5 });
  }
}
