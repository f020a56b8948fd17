import { ConfigError } from "../job/problem.js";
import type { Variables } from "./variables.js";
import { processSettings } from "./processSettings.js";
import { readNumber } from "./readSetting.js";

/** What a coordinator on Kubernetes scales by itself. */
export interface ScalingTarget {
  readonly statefulSet: string;
  readonly min: number;
  readonly max: number;
}

/** Whether Kubernetes could have an object of that name. */
export function isObjectName(name: string): boolean {
  return /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(name);
}

/** Undefined unless BITFLEET_SCALE_MIN or BITFLEET_SCALE_MAX asks for it; the name alone only serves `bitfleet scale`. */
export function scalingTarget(variables: Variables): ScalingTarget | undefined {
  const [min, max] = [
    readNumber(variables, "BITFLEET_SCALE_MIN"),
    readNumber(variables, "BITFLEET_SCALE_MAX"),
  ];
  if (min === undefined && max === undefined) return undefined;
  const statefulSet = variables["BITFLEET_SCALE_STATEFULSET"] ?? "";
  if (!isObjectName(statefulSet))
    throw new ConfigError(
      `BITFLEET_SCALE_STATEFULSET is "${statefulSet}", but with BITFLEET_SCALE_MIN or _MAX it must name the workers' StatefulSet`,
    );
  const most = processSettings.BITFLEET_SCALE_MAX.default;
  const target = { statefulSet, min: min ?? 0, max: max ?? Math.max(most, min ?? 0) };
  if (target.min <= target.max) return target;
  throw new ConfigError(
    `BITFLEET_SCALE_MIN is ${target.min}, but must not be more than BITFLEET_SCALE_MAX, ${target.max}`,
  );
}
