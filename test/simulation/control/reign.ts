import { JobRemoval, type JobRemovalOptions } from "../../../coordinator/jobRemoval.js";
import type { CoordinatorLock } from "../../../coordinator/lock.js";
import type { Outbox } from "../../../coordinator/outbox.js";
import type { Records } from "../../../coordinator/records.js";
import { fleetTimes } from "../../../src/control/fleetEvent.js";
import type { Fleet } from "../../../src/control/fleetState.js";
import type { JobRecord } from "../../../src/control/record.js";
import { FailureError } from "../../../src/job/problem.js";
import type { Shelf } from "./shelf.js";

/** Shorter than in earnest where nothing but waiting comes of it. */
export const times = {
  ...fleetTimes,
  prepareMs: 20_000,
  gatherMs: 3_000,
  loadMs: 20_000,
  joinMs: 6_000,
  saveMs: 15_000,
  releaseMs: 12_000,
  firstUnitMs: 15_000,
  unitFloorMs: 4_000,
};

/** The last record of each job. */
export function onePerName(records: readonly JobRecord[]): readonly JobRecord[] {
  return [...new Map(records.map((record) => [record.name, record])).values()];
}

/** What a coordinator has once it holds the lock. */
export interface Reign {
  readonly lock: CoordinatorLock;
  readonly records: Records;
  readonly outbox: Outbox;
  readonly removal: JobRemoval;
  fleet: Fleet;
}

/** As coordinator/loop.ts and coordinator/memory.ts have it. */
export function openRemoval({
  outbox,
  lock,
  records,
  shelf,
  reign,
  drop,
  onForget,
  ...options
}: Pick<Reign, "lock" | "records" | "outbox"> &
  Pick<JobRemovalOptions, "store" | "removed" | "drop"> & {
    readonly shelf: Shelf;
    readonly reign: () => Reign | undefined;
    readonly onForget: (job: string) => void;
  }): JobRemoval {
  const fleet = (): Fleet => {
    const now = reign();
    if (now === undefined) throw new FailureError("this one is no coordinator any more");
    return now.fleet;
  };
  return new JobRemoval({
    ...options,
    fleet,
    drop: (job) => {
      drop(job);
      if (!fleet().records.has(job)) outbox.forget(job);
    },
    forget: async (job) => {
      onForget(job);
      shelf.forgetLines(job);
      shelf.copies.delete(job);
      await records.remove(job);
    },
    isHolder: () => lock.confirm(),
    isIndexInUse: () => false,
  });
}

/** As coordinator/training.ts does. Gives the job's last record; FailureError: it is there still, or may be. */
export async function removeJob(reign: Reign, job: string): Promise<JobRecord> {
  reign.removal.check(recordOf(reign, job), false);
  await reign.outbox.whenKept(job);
  if (!(await reign.lock.confirm())) throw new FailureError("another coordinator has taken over");
  const last = recordOf(reign, job);
  await reign.removal.remove(last, false);
  return last;
}

function recordOf({ fleet }: Reign, job: string): JobRecord {
  const record = fleet.records.get(job);
  if (record === undefined) throw new FailureError(`there is no job ${job}`);
  return record;
}
