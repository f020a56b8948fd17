import { hasEnded } from "../../../src/control/record.js";
import type { CoordinatorSim } from "./coordinatorSim.js";
import type { Scene } from "./scene.js";

/** What people ask for amid everything else. */
export const requests = {
  cancelled: (scene: Scene) => {
    const [coordinator] = scene.reigning();
    const job = scene.world.pick(scene.jobs)?.name ?? "";
    if (coordinator === undefined || coordinator.process.isStopped) return false;
    const record = coordinator.fleet?.records.get(job);
    if (record === undefined || record.state === "cancelled" || record.state === "done") {
      return false;
    }
    scene.world.tell(`${job} is cancelled`);
    coordinator.handle({ kind: "cancel", job });
    return true;
  },
  resumed: (scene: Scene) => {
    const [coordinator] = scene.reigning();
    if (coordinator === undefined || coordinator.process.isStopped) return false;
    const job = scene.jobs.find(
      ({ name }) =>
        scene.jetStream.record(name)?.state === "cancelled" && !scene.removals.has(name),
    );
    if (job === undefined) return false;
    scene.world.tell(`${job.name} is resumed`);
    coordinator.handle({ kind: "resume", job: job.name });
    return true;
  },
  "task asked": (scene: Scene) => {
    const { world, jobs } = scene;
    const [coordinator] = scene.reigning();
    const { settings } = jobs[0]?.record.plan ?? {};
    if (coordinator === undefined || settings === undefined) return false;
    if (coordinator.process.isStopped) return false;
    const taskId = `task-${Math.round(world.nowMs)}-${coordinator.tasks.size}`;
    coordinator.tasks.set(taskId, "open");
    coordinator.handle({ kind: "task", taskId, task: { kind: "index", settings } });
    return true;
  },
  removed: (scene: Scene) => askToRemove(scene) !== undefined,
  "removed by one that dies": (scene: Scene) => {
    const coordinator = askToRemove(scene);
    if (coordinator === undefined) return false;
    scene.world.after(scene.world.between(1, 200), () => {
      coordinator.kill();
    });
    return true;
  },
  "removed by one that is replaced": (scene: Scene) => {
    const coordinator = askToRemove(scene);
    if (coordinator === undefined) return false;
    const { process } = coordinator;
    scene.world.after(scene.world.between(1, 100), () => {
      process.stop();
      scene.startCoordinator();
    });
    scene.world.after(scene.world.between(3_000, 9_000), () => {
      process.goOn();
    });
    return true;
  },
} as const;

/** Who was asked, if there was something to ask for: a job that has ended, or one that has not and must stay. */
function askToRemove(scene: Scene): CoordinatorSim | undefined {
  const [coordinator] = scene.reigning();
  if (coordinator === undefined || coordinator.process.isStopped) return undefined;
  const job = scene.world.pick(scene.jobs)?.name ?? "";
  const { state } = coordinator.fleet?.records.get(job) ?? {};
  // Only one whose work is little goes without having done the work.
  if (state === undefined || (hasEnded(state) && state !== "done" && job !== "fourth"))
    return undefined;
  scene.removals.ask(coordinator, job);
  return coordinator;
}
