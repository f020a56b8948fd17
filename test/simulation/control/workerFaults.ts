import type { Scene } from "./scene.js";
import type { WorkerSim } from "./workerSim.js";

/** What befalls the processes and clocks of workers. */
export const workerFaults = {
  "worker killed": (scene: Scene) =>
    onWorker(scene, "is killed", (worker) => {
      worker.kill();
      comeBack(scene, worker);
      return true;
    }),
  "worker started again at once": (scene: Scene) =>
    onWorker(scene, "is killed and started again", (worker) => {
      worker.kill();
      scene.startWorker(worker.kind);
      return true;
    }),
  "all workers killed": (scene: Scene) => {
    const workers = running(scene);
    scene.world.tell("all workers are killed");
    for (const worker of workers) {
      worker.kill();
      comeBack(scene, worker);
    }
    return workers.length > 0;
  },
  "worker stopped": (scene: Scene) => {
    const ms = scene.world.between(200, 12_000);
    return onWorker(scene, `stands still for ${ms} ms`, (worker) => {
      worker.stopFor(ms);
      return true;
    });
  },
  "all workers stopped": (scene: Scene) => {
    const ms = scene.world.between(4_000, 9_000);
    scene.world.tell(`all workers stand still for ${ms} ms`);
    for (const worker of running(scene)) worker.stopFor(ms);
    return true;
  },
  "worker left": (scene: Scene) =>
    onWorker(scene, "is asked to leave", (worker) => {
      worker.leave();
      comeBack(scene, worker);
      return true;
    }),
  "worker joined": (scene: Scene) => {
    const kind = scene.kinds.find(({ workerId }) => !scene.workers.has(workerId));
    if (kind === undefined) return false;
    scene.world.tell(`${kind.workerId} is started`);
    scene.startWorker(kind);
    return true;
  },
  "joiner hangs": (scene: Scene) => {
    const kind = scene.kinds.find(({ workerId }) => !scene.workers.has(workerId));
    if (kind === undefined) return false;
    scene.world.tell(`${kind.workerId} is started, and hangs when it is to join`);
    scene.startWorker(kind).hangingJoins = scene.world.between(1, 2);
    return true;
  },
  "child crashed": (scene: Scene) =>
    onWorker(scene, "loses its child", (worker) => {
      if (worker.child === undefined || !mayFail(scene, worker)) return false;
      worker.crashChild();
      return true;
    }),
  "child dies before it is ready": (scene: Scene) =>
    onWorker(scene, "will lose its next child before that is ready", (worker) => {
      if (worker.isDoomed || !mayFail(scene, worker)) return false;
      worker.isDoomed = true;
      return true;
    }),
  "child stuck": (scene: Scene) =>
    onWorker(scene, "computes no more", (worker) => {
      if (worker.child === undefined || !mayFail(scene, worker)) return false;
      worker.child.getStuck();
      return true;
    }),
  "out of memory": (scene: Scene) =>
    onWorker(scene, "runs out of memory", (worker) => {
      if (worker.child === undefined || !mayFail(scene, worker)) return false;
      return worker.runOutOfMemory();
    }),
  "worker's clock jumps": (scene: Scene) =>
    onWorker(scene, "has its clock set", ({ kind }) => {
      kind.clock.jumpMs += scene.world.between(-1e9, 1e9);
      return true;
    }),
  "foreign arithmetic": (scene: Scene) => startForeign(scene, "foreign", "sound"),
  "foreign probe": (scene: Scene) => startForeign(scene, "toy", "odd"),
} as const;

export function running(scene: Scene): readonly WorkerSim[] {
  return scene.alive().filter(({ process }) => !process.isStopped);
}

export function onWorker(scene: Scene, what: string, act: (worker: WorkerSim) => boolean): boolean {
  const worker = scene.world.pick(running(scene));
  if (worker === undefined) return false;
  const isDone = act(worker);
  if (isDone) scene.world.tell(`${worker.incarnation} ${what}`);
  return isDone;
}

/** With bad luck all are set aside at once, and the job fails; what the network does to a worker may count as one failure more. */
export function mayFail({ failures }: Scene, { kind: { workerId } }: WorkerSim): boolean {
  const count = (failures.get(workerId) ?? 0) + 1;
  if (count > 2) return false;
  failures.set(workerId, count);
  return true;
}

/** Somebody starts it again, as Kubernetes would. */
function comeBack(scene: Scene, worker: WorkerSim): void {
  const { workerId } = worker.kind;
  scene.world.after(scene.world.between(500, 6_000), () => {
    const present = scene.workers.get(workerId);
    if (present?.process.isAlive !== true) scene.startWorker(worker.kind);
    // One that was asked to leave may take its time.
    else if (present === worker) comeBack(scene, worker);
  });
}

/** Not before the job is pinned: until then nobody is foreign. */
function startForeign(scene: Scene, numerics: string, probe: string): boolean {
  const workerId = `w-${numerics}-${probe}`;
  const isPinned = scene.jobs.every(({ name }) => {
    const record = scene.jetStream.record(name);
    return record?.pin !== undefined || record?.state === "queued";
  });
  if (!isPinned || scene.workers.has(workerId)) return false;
  scene.world.tell(`${workerId} is started`);
  const [kind] = scene.kinds;
  if (kind !== undefined) scene.startWorker({ ...kind, workerId, numerics, probe, shardMs: 5 });
  return true;
}
