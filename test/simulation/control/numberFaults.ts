import type { ChildSim } from "./childSim.js";
import type { Scene } from "./scene.js";
import { mayFail, onWorker } from "./workerFaults.js";

/** What makes a worker's numbers wrong. */
export const numberFaults = {
  "shard wrong": (scene: Scene) =>
    spoil(scene, "will get a shard wrong", ({ spoils }) => {
      spoils.shard = "wrong";
      return true;
    }),
  "shard not finite": (scene: Scene) =>
    spoil(scene, "will get a shard that is not finite", ({ spoils }) => {
      spoils.shard = "not finite";
      return true;
    }),
  "evaluation wrong": (scene: Scene) =>
    spoil(scene, "counts wrongly in evaluations", ({ spoils }) => {
      spoils.evaluation = "wrong";
      return true;
    }),
  "evaluation impossible": (scene: Scene) =>
    spoil(scene, "will count pictures in an evaluation that are not there", ({ spoils }) => {
      spoils.evaluation = "impossible";
      return true;
    }),
  "sum wrong": (scene: Scene) =>
    spoil(scene, "will get a sum wrong", ({ spoils }) => {
      spoils.sum = spoils.ranks > 1;
      return spoils.sum;
    }),
  "parameter flipped": (scene: Scene) => spoil(scene, "has a bit flip", (child) => child.flip()),
} as const;

/** Once in a world: with two wrong at a time nobody might be left to tell. */
function spoil(scene: Scene, what: string, act: (child: ChildSim) => boolean): boolean {
  if (scene.spoilt !== undefined) return false;
  return onWorker(scene, what, (worker) => {
    if (worker.child === undefined || !mayFail(scene, worker)) return false;
    if (!act(worker.child)) return false;
    scene.spoilt = worker;
    return true;
  });
}
