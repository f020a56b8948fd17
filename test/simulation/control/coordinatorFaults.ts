import type { CoordinatorSim } from "./coordinatorSim.js";
import type { Scene } from "./scene.js";

/** What befalls coordinators. Somebody starts one again when none is left. */
export const coordinatorFaults = {
  "coordinator killed": (scene: Scene) =>
    onCoordinator(scene, "is killed", (coordinator) => {
      coordinator.kill();
    }),
  "coordinator killed amid commands": (scene: Scene) =>
    onCoordinator(scene, "will die amid its commands", (coordinator) => {
      coordinator.dieAfter = scene.world.between(1, 4);
    }),
  "coordinator asked to stop": (scene: Scene) =>
    onCoordinator(scene, "is asked to stop", (coordinator) => {
      coordinator.leave();
    }),
  "coordinator stopped": (scene: Scene) => {
    const ms = scene.world.between(500, 9_000);
    return onCoordinator(scene, `stands still for ${ms} ms`, (coordinator) => {
      stopFor(scene, coordinator, ms);
    });
  },
  "standby started": (scene: Scene) => {
    if (scene.coordinators.filter(({ process }) => process.isAlive).length > 1) return false;
    scene.startCoordinator();
    return true;
  },
  "coordinator replaced": (scene: Scene) => {
    const ms = scene.world.between(2_500, 7_000);
    return onCoordinator(scene, `is replaced, standing still for ${ms} ms`, (coordinator) => {
      stopFor(scene, coordinator, ms);
      scene.startCoordinator();
    });
  },
  "coordinator cut off from the store": (scene: Scene) => {
    const ms = scene.world.between(500, 8_000);
    return onCoordinator(scene, `does not reach JetStream for ${ms} ms`, (coordinator) => {
      scene.jetStream.cut(coordinator.process, ms);
      if (scene.world.chance(0.7)) scene.startCoordinator();
    });
  },
  "zombie writes": (scene: Scene) => {
    const ms = scene.world.between(2_000, 9_000);
    const what = `is replaced, and its last writes take ${ms} ms`;
    return onCoordinator(scene, what, (coordinator) => {
      scene.jetStream.holdBack(coordinator.process, ms);
      scene.startCoordinator();
      scene.world.after(400, () => {
        if (scene.world.chance(0.5)) coordinator.kill();
        else stopFor(scene, coordinator, ms);
      });
    });
  },
  "coordinator's clock jumps": (scene: Scene) =>
    onCoordinator(scene, "has its clock set", ({ process }) => {
      process.clock.jumpMs += scene.world.between(-1e9, 1e9);
    }),
  "word of an old coordinator": (scene: Scene) => {
    const worker = scene.world.pick(scene.alive().filter(({ process }) => !process.isStopped));
    if (worker?.hearOld() !== true) return false;
    scene.world.tell(`${worker.incarnation} hears an old coordinator`);
    return true;
  },
} as const;

function onCoordinator(
  scene: Scene,
  what: string,
  act: (coordinator: CoordinatorSim) => void,
): boolean {
  const coordinator = scene.reigning().find(({ process }) => !process.isStopped);
  if (coordinator === undefined) return false;
  scene.world.tell(`${coordinator.name} ${what}`);
  act(coordinator);
  return true;
}

function stopFor(scene: Scene, { process }: CoordinatorSim, ms: number): void {
  process.stop();
  scene.world.after(ms, () => {
    process.goOn();
  });
}
