import { faultNames, faults, type Fault } from "./faults.js";
import { Scene } from "./scene.js";

export interface Outcome {
  readonly seed: number;
  readonly mistakes: readonly string[];
  readonly rounds: number;
  readonly redone: number;
  /** The longest that the first job went without a decision, from its first step on. */
  readonly longestGapMs: number;
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
  everyMs: 1_200,
  faultsEndMs: 20_000,
  graceMs: 150_000,
};

/** One fleet under one seed, with two jobs, until both are done. */
export function simulate(seed: number, options = simulationDefaults): Outcome {
  const scene = new Scene(seed);
  const { world, ledger } = scene;
  const fired = new Map<Fault, number>();
  const hasFaults = options.faults.length > 0;
  const healedMs = hasFaults ? options.faultsEndMs : 0;
  for (const kind of scene.kinds.slice(
    0,
    hasFaults ? 2 + (seed % 2) : Math.max(1 + (seed % 2), 1 + (seed % 5)),
  )) {
    scene.startWorker(kind);
  }
  submitJobs(scene);
  keepUp(scene);
  if (hasFaults) {
    inject(scene, options, fired);
    world.after(healedMs, () => {
      heal(scene);
    });
  }
  world.run(
    healedMs + options.graceMs,
    () =>
      ledger.mistakes.length > 0 ||
      (world.nowMs > healedMs && scene.isDone() && noTaskIsOpen(scene)),
  );
  scene.checkEnd();
  const { rounds, redone, mistakes, longestGapMs } = ledger;
  return {
    seed,
    longestGapMs,
    mistakes,
    rounds,
    redone,
    fired,
    story: world.story,
    endMs: world.nowMs,
    healedMs,
  };
}

/** A client asks until it has an answer. */
function submitJobs(scene: Scene): void {
  scene.world.after(300, () => {
    const missing = scene.jobs.filter(({ name }) => scene.shelf.record(name) === undefined);
    if (missing.length === 0) return;
    for (const { record } of missing) scene.coordinator.handle({ kind: "submit", record });
    submitJobs(scene);
  });
}

/** Somebody starts the coordinator again, and after the faults resumes what was cancelled. */
function keepUp(scene: Scene): void {
  scene.world.after(scene.world.between(300, 1_500), () => {
    scene.restartCoordinator();
    keepUp(scene);
  });
}

function inject(scene: Scene, options: SimulationOptions, fired: Map<Fault, number>): void {
  const { world } = scene;
  world.after(world.between(1, 2 * options.everyMs), () => {
    if (world.nowMs >= options.faultsEndMs) return;
    const fault = world.pick(options.faults);
    if (fault !== undefined && faults[fault](scene)) fired.set(fault, (fired.get(fault) ?? 0) + 1);
    inject(scene, options, fired);
  });
}

function heal(scene: Scene): void {
  const { world } = scene;
  world.tell("no more faults");
  scene.frames.heal();
  // Who is waited for is told; somebody ends it where a deadline may not.
  for (const worker of scene.alive()) if (worker.child?.isStuck === true) worker.crashChild();
  for (const kind of scene.kinds.slice(0, 3)) {
    if (scene.workers.get(kind.workerId)?.process.isAlive !== true) scene.startWorker(kind);
  }
  const resume = (): void => {
    for (const { name } of scene.jobs) {
      if (scene.shelf.record(name)?.state !== "cancelled") continue;
      scene.coordinator.handle({ kind: "resume", job: name });
    }
    world.after(2_000, resume);
  };
  resume();
}

function noTaskIsOpen(scene: Scene): boolean {
  return scene.lives.every(
    ({ process, tasks }) => !process.isAlive || ![...tasks.values()].includes("open"),
  );
}
