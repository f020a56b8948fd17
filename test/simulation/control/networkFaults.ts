import type { Way } from "./frames.js";
import type { Scene } from "./scene.js";
import { onWorker, running } from "./workerFaults.js";
import type { WorkerSim } from "./workerSim.js";

/** What befalls streams, frames and the key-value store. */
export const networkFaults = {
  "stream cut": (scene: Scene) =>
    onStream(scene, "loses its stream", (worker) => {
      const { world } = scene;
      const first = world.chance(0.5) ? "worker" : "coordinator";
      worker.stream?.cut(first, world.between(0, 50), world.between(0, 3_000));
    }),
  "worker not heard": (scene: Scene) =>
    onStream(scene, "is not heard", (worker) => {
      worker.stream?.silence("coordinator", scene.world.between(500, 9_000));
    }),
  "coordinator not heard": (scene: Scene) =>
    onStream(scene, "hears nothing", (worker) => {
      worker.stream?.silence("worker", scene.world.between(500, 9_000));
    }),
  "NATS cut": (scene: Scene) => cutFrames(scene, "is cut off from NATS", "both"),
  "NATS cut, nothing goes out": (scene: Scene) =>
    cutFrames(scene, "gets nothing out to NATS", "out"),
  "NATS cut, nothing comes in": (scene: Scene) =>
    cutFrames(scene, "gets nothing in from NATS", "in"),
  "NATS down": (scene: Scene) => {
    const ms = scene.world.between(200, 7_000);
    scene.world.tell(`NATS is down for ${ms} ms`);
    scene.frames.stopFor(ms);
    scene.jetStream.stopFor(ms, true);
    return true;
  },
  "NATS wiped": (scene: Scene) => {
    const ms = scene.world.between(200, 3_000);
    scene.world.tell(`NATS loses all that it has stored, and is back in ${ms} ms`);
    scene.frames.stopFor(ms);
    scene.jetStream.stopFor(ms, true);
    scene.jetStream.wipe();
    return true;
  },
  "store down": (scene: Scene) => {
    const ms = scene.world.between(200, 7_000);
    scene.world.tell(`JetStream answers nobody for ${ms} ms`);
    scene.jetStream.stopFor(ms, false);
    return true;
  },
  "frames lost": (scene: Scene) => {
    scene.world.tell("NATS loses every fifth frame for a while");
    scene.frames.loss = 0.2;
    return forAWhile(scene, () => {
      scene.frames.loss = 0;
    });
  },
  "frames repeated": (scene: Scene) => {
    scene.world.tell("NATS delivers every third frame twice for a while");
    scene.frames.repeats = 0.3;
    return forAWhile(scene, () => {
      scene.frames.repeats = 0;
    });
  },
  "frames out of order": (scene: Scene) => {
    scene.world.tell("NATS delivers every third frame late for a while");
    scene.frames.delays = 0.3;
    return forAWhile(scene, () => {
      scene.frames.delays = 0;
    });
  },
  "stale frames": (scene: Scene) => {
    const count = scene.frames.haunt();
    scene.world.tell(`${count} old frames come once more`);
    return count > 0;
  },
  "writes unanswered": (scene: Scene) => {
    scene.world.tell("JetStream loses requests and answers for a while, or has them late");
    scene.jetStream.trouble = 0.25;
    return forAWhile(scene, () => {
      scene.jetStream.trouble = 0;
    });
  },
} as const;

function onStream(scene: Scene, what: string, act: (worker: WorkerSim) => void): boolean {
  const worker = scene.world.pick(running(scene).filter(({ stream }) => stream !== undefined));
  if (worker === undefined) return false;
  scene.world.tell(`${worker.incarnation} ${what}`);
  act(worker);
  return true;
}

function cutFrames(scene: Scene, what: string, way: Way): boolean {
  const ms = scene.world.between(200, 9_000);
  return onWorker(scene, `${what} for ${ms} ms`, (worker) => {
    scene.frames.cut(worker.incarnation, ms, way);
    return true;
  });
}

function forAWhile(scene: Scene, end: () => void): true {
  scene.world.after(3_000, end);
  return true;
}
