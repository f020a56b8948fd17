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
    const job = scene.jobs.find(({ name }) => scene.jetStream.record(name)?.state === "cancelled");
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
} as const;
