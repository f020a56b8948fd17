import { coordinatorFaults } from "./coordinatorFaults.js";
import { networkFaults } from "./networkFaults.js";
import { numberFaults } from "./numberFaults.js";
import { requests } from "./requests.js";
import type { Scene } from "./scene.js";
import { workerFaults } from "./workerFaults.js";

/** Everything that goes wrong in a fleet, or is asked of it. Each says whether it found something to break. */
export const faults = {
  ...workerFaults,
  ...numberFaults,
  ...networkFaults,
  ...coordinatorFaults,
  ...requests,
} as const satisfies Readonly<Record<string, (scene: Scene) => boolean>>;

export type Fault = keyof typeof faults;

// The cast: Object.keys forgets the key type, and the table is a constant.
export const faultNames = Object.keys(faults) as readonly Fault[];
