import type { Run, Transition } from "./fleetState.js";
import { changeRun, recordOf, runOf, withEntry } from "./transition.js";

/**
 * The same state has the same parameters, bit for bit, on every worker of one arithmetic. Whoever
 * states a checksum of the present state first sets it; anyone else must agree. With mixed devices
 * each kind of arithmetic goes its own way, and is held to its own kind only.
 */
export function checkState(
  t: Transition,
  workerId: string,
  value: number,
): { readonly t: Transition; readonly problem: string | undefined } {
  const { checksums } = runOf(t);
  const key = arithmeticOf(t, workerId);
  const known = checksums.get(key);
  if (known === undefined) {
    return {
      t: changeRun(t, { checksums: withEntry(checksums, key, { value, workerId }) }),
      problem: undefined,
    };
  }
  if (known.value === value) return { t, problem: undefined };
  const { step } = recordOf(t);
  return {
    t,
    problem: `the parameters of step ${step} have checksum ${value} on ${workerId} and ${known.value} on ${known.workerId}`,
  };
}

/** The checksum that a copy of the worker's state must have; undefined while nobody has said. */
export function checksumAt(t: Transition, workerId: string): number | undefined {
  return runOf(t).checksums.get(arithmeticOf(t, workerId))?.value;
}

/** Forgets the checksums: the state is another one. */
export const noChecksums: Run["checksums"] = new Map();

function arithmeticOf(t: Transition, workerId: string): string {
  const mixed = recordOf(t).plan.settings.mixedDevices;
  return mixed ? (t.fleet.members.get(workerId)?.hello.numerics ?? "") : "";
}
