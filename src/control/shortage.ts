import { plural } from "../job/plural.js";
import type { Fleet, Member } from "./fleetState.js";
import { foreign } from "./participation.js";
import type { JobRecord } from "./record.js";
import { workersMin } from "./work.js";

/**
 * Why workers that are there are of no use to a job in the queue, and what helps: its bits are those
 * of one arithmetic, and there are too few workers of that. Undefined where there are enough.
 */
export function arithmeticShortage(fleet: Fleet, record: JobRecord): string | undefined {
  const { pin, plan } = record;
  if (plan.settings.mixedDevices) return undefined;
  const needed = workersMin(record);
  const connected = [...fleet.members.values()].filter(({ link }) => link.kind === "connected");
  const fit = connected.filter((member) => foreign(record, member) === undefined);
  const largest =
    pin === undefined
      ? Math.max(0, ...[...byClass(fit).values()].map(({ length }) => length))
      : fit.length;
  if (largest >= needed) return undefined;
  const which =
    pin === undefined ? "of one arithmetic" : `with the arithmetic of "${pin.numerics}"`;
  const way =
    pin === undefined
      ? "start more that are alike, or submit it with fewer min-workers"
      : "start such a worker; on others the job has to be submitted anew";
  return `needs ${plural(needed, "worker")} ${which}; ${classesText(connected)}: ${way}`;
}

function classesText(connected: readonly Member[]): string {
  const groups = [...byClass(connected)].map(([numerics, ids]) => {
    const verb = ids.length === 1 ? "has" : "have";
    return `${ids.join(", ")} ${verb} "${numerics}"`;
  });
  return groups.join("; ");
}

function byClass(members: readonly Member[]): ReadonlyMap<string, readonly string[]> {
  const classes = new Map<string, string[]>();
  for (const { workerId, hello } of members) {
    const known = classes.get(hello.numerics);
    if (known === undefined) classes.set(hello.numerics, [workerId]);
    else known.push(workerId);
  }
  return classes;
}
