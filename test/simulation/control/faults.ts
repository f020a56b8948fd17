import type { Scene } from "./scene.js";
import type { WorkerSim } from "./workerSim.js";

/** Everything that goes wrong in a fleet. Each says whether it found something to break. */
export const faults = {
  "worker killed": (scene) =>
    onWorker(scene, "is killed", (worker) => {
      worker.kill();
      comeBack(scene, worker);
      return true;
    }),
  "worker started again at once": (scene) =>
    onWorker(scene, "is killed and started again", (worker) => {
      worker.kill();
      scene.startWorker(worker.kind);
      return true;
    }),
  "worker stopped": (scene) => {
    const ms = scene.world.between(200, 12_000);
    return onWorker(scene, `stands still for ${ms} ms`, (worker) => {
      worker.stopFor(ms);
      return true;
    });
  },
  "all workers stopped": (scene) => {
    const ms = scene.world.between(4_000, 9_000);
    scene.world.tell(`all workers stand still for ${ms} ms`);
    for (const worker of running(scene)) worker.stopFor(ms);
    return true;
  },
  "worker left": (scene) =>
    onWorker(scene, "is asked to leave", (worker) => {
      worker.leave();
      comeBack(scene, worker);
      return true;
    }),
  "worker joined": (scene) => {
    const kind = scene.kinds.find(({ workerId }) => !scene.workers.has(workerId));
    if (kind === undefined) return false;
    scene.world.tell(`${kind.workerId} is started`);
    scene.startWorker(kind);
    return true;
  },
  "child crashed": (scene) =>
    onWorker(scene, "loses its child", (worker) => {
      if (worker.child === undefined || !mayFail(scene, worker)) return false;
      worker.crashChild();
      return true;
    }),
  "child stuck": (scene) =>
    onWorker(scene, "computes no more", (worker) => {
      if (worker.child === undefined || !mayFail(scene, worker)) return false;
      worker.child.isStuck = true;
      return true;
    }),
  "stream cut": (scene) =>
    onStream(scene, "loses its stream", (worker) => {
      const { world } = scene;
      const first = world.chance(0.5) ? "worker" : "coordinator";
      worker.stream?.cut(first, world.between(0, 50), world.between(0, 3_000));
    }),
  "worker not heard": (scene) =>
    onStream(scene, "is not heard", (worker) => {
      worker.stream?.silence("coordinator", scene.world.between(500, 9_000));
    }),
  "coordinator not heard": (scene) =>
    onStream(scene, "hears nothing", (worker) => {
      worker.stream?.silence("worker", scene.world.between(500, 9_000));
    }),
  "NATS cut": (scene) => {
    const ms = scene.world.between(200, 9_000);
    return onWorker(scene, `is cut off from NATS for ${ms} ms`, (worker) => {
      scene.frames.cut(worker.incarnation, ms);
      return true;
    });
  },
  "frames lost": (scene) => {
    scene.world.tell("NATS loses every fifth frame for a while");
    scene.frames.loss = 0.2;
    scene.world.after(3_000, () => {
      scene.frames.loss = 0;
    });
    return true;
  },
  "coordinator killed": (scene) => {
    if (!scene.coordinator.process.isAlive) return false;
    scene.world.tell("the coordinator is killed");
    scene.coordinator.kill();
    return true;
  },
  "coordinator killed amid commands": (scene) => {
    if (!scene.coordinator.process.isAlive) return false;
    scene.coordinator.dieAfter = scene.world.between(1, 4);
    return true;
  },
  "coordinator stopped": (scene) => {
    const { process } = scene.coordinator;
    if (!process.isAlive || process.isStopped) return false;
    const ms = scene.world.between(500, 9_000);
    scene.world.tell(`the coordinator stands still for ${ms} ms`);
    process.stop();
    scene.world.after(ms, () => {
      process.goOn();
    });
    return true;
  },
  "coordinator replaced": (scene) => {
    const old = scene.coordinator;
    if (!old.process.isAlive || old.process.isStopped) return false;
    const ms = scene.world.between(0, 4_000);
    scene.world.tell(`a second coordinator takes over; the first goes on in ${ms} ms`);
    old.process.stop();
    scene.replaceCoordinator();
    scene.world.after(ms, () => {
      old.process.goOn();
    });
    return true;
  },
  "word of an old coordinator": (scene) =>
    onWorker(scene, "hears an old coordinator", (worker) => worker.hearOld()),
  cancelled: (scene) => {
    const { state } = scene.shelf.record("first") ?? {};
    if (state === undefined || !scene.coordinator.process.isAlive) return false;
    scene.world.tell("the first job is cancelled");
    scene.coordinator.handle({ kind: "cancel", job: "first" });
    return true;
  },
  resumed: (scene) => {
    const { state } = scene.shelf.record("first") ?? {};
    if (state !== "cancelled" || !scene.coordinator.process.isAlive) return false;
    scene.world.tell("the first job is resumed");
    scene.coordinator.handle({ kind: "resume", job: "first" });
    return true;
  },
  "foreign arithmetic": (scene) => startForeign(scene, "foreign", "sound"),
  "foreign probe": (scene) => startForeign(scene, "toy", "odd"),
  "task asked": (scene) => {
    const { coordinator, world } = scene;
    if (!coordinator.process.isAlive) return false;
    const taskId = `task-${world.nowMs}-${coordinator.tasks.size}`;
    coordinator.tasks.set(taskId, "open");
    const { settings } = scene.jobs[0]?.record.plan ?? {};
    if (settings === undefined) return false;
    coordinator.handle({ kind: "task", taskId, task: { kind: "index", settings } });
    return true;
  },
} as const satisfies Readonly<Record<string, (scene: Scene) => boolean>>;

export type Fault = keyof typeof faults;

// The cast: Object.keys forgets the key type, and the table is a constant.
export const faultNames = Object.keys(faults) as readonly Fault[];

function running(scene: Scene): readonly WorkerSim[] {
  return scene.alive().filter(({ process }) => !process.isStopped);
}

function onWorker(scene: Scene, what: string, act: (worker: WorkerSim) => boolean): boolean {
  const worker = scene.world.pick(running(scene));
  if (worker === undefined) return false;
  const isDone = act(worker);
  if (isDone) scene.world.tell(`${worker.incarnation} ${what}`);
  return isDone;
}

function onStream(scene: Scene, what: string, act: (worker: WorkerSim) => void): boolean {
  const worker = scene.world.pick(running(scene).filter(({ stream }) => stream !== undefined));
  if (worker === undefined) return false;
  scene.world.tell(`${worker.incarnation} ${what}`);
  act(worker);
  return true;
}

/** With bad luck all are set aside at once, and the job fails. */
function mayFail({ failures }: Scene, { kind: { workerId } }: WorkerSim): boolean {
  const count = (failures.get(workerId) ?? 0) + 1;
  if (count > 3) return false;
  failures.set(workerId, count);
  return true;
}

/** Somebody starts it again, as Kubernetes would. */
function comeBack(scene: Scene, { kind }: WorkerSim): void {
  scene.world.after(scene.world.between(500, 6_000), () => {
    if (scene.workers.get(kind.workerId)?.process.isAlive !== true) scene.startWorker(kind);
  });
}

/** Not before the job is pinned: until then nobody is foreign. */
function startForeign(scene: Scene, numerics: string, probe: string): boolean {
  const workerId = `w-${numerics}-${probe}`;
  const isPinned = scene.jobs.every(({ name }) => {
    const record = scene.shelf.record(name);
    return record?.pin !== undefined || record?.state === "queued";
  });
  if (!isPinned || scene.workers.has(workerId)) return false;
  scene.world.tell(`${workerId} is started`);
  scene.startWorker({ workerId, numerics, probe, shardMs: 5 });
  return true;
}
