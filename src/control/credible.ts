import { aheadMax, believedMax } from "../job/limits.js";
import type { Fleet } from "./fleetState.js";
import type { HeldState, WorkerEvent } from "./message.js";
import type { JobRecord } from "./record.js";
import { shardCount } from "./work.js";

/**
 * What a worker says is bounded by what is known before it is believed, and so before anything durable comes of it: by the
 * job's plan, and by how far its record may be behind what workers have heard. Whether it is true is judged elsewhere.
 */

/** Why what was said cannot be, in a sentence that names the number and its bound; undefined where it can. */
export function disbelief({ records }: Fleet, event: WorkerEvent): string | undefined {
  const claim = claimOf(event);
  const record = claim === undefined ? undefined : records.get(claim.job);
  if (claim === undefined || record === undefined) return undefined;
  return found([...placeBounds(record, claim), ...boundsOf(record, event)], record.name);
}

type Report = Extract<WorkerEvent, { readonly kind: "report" }>;

interface Bound {
  readonly what: string;
  readonly said: number;
  readonly most: number;
}

interface Claim {
  readonly job: string;
  readonly attempt: number;
  /** Of a trial or report; absent where none is said. */
  readonly generation?: number;
  readonly trial?: number;
  readonly step?: number;
}

function claimOf(event: WorkerEvent): Claim | undefined {
  switch (event.kind) {
    case "hello":
      return event.held;
    case "prepared":
    case "loaded":
    case "report":
    case "applied":
    case "saved":
    case "save-failed":
    case "failed":
      return event;
    default:
      return undefined;
  }
}

/** Another attempt's generations are its own. */
function placeBounds(record: JobRecord, claim: Claim): readonly Bound[] {
  const { attempt, generation, plan } = record;
  const { generation: ofGeneration = 0, trial = 0, step = 0 } = claim;
  const generationMax =
    claim.attempt === attempt ? Math.min(generation + aheadMax, believedMax) : believedMax;
  return [
    bound("attempt", claim.attempt, Math.min(attempt + aheadMax, believedMax)),
    bound("generation", ofGeneration, generationMax),
    bound("trial", trial, generationMax),
    bound("step", step, plan.schedule.steps),
  ];
}

function boundsOf(record: JobRecord, event: WorkerEvent): readonly Bound[] {
  if (event.kind === "hello") return event.held === undefined ? [] : heldBounds(record, event.held);
  if (event.kind !== "report") return [];
  const stepMax = record.plan.schedule.steps - (event.round === "training" ? 1 : 0);
  return [bound("step", event.step, stepMax), ...resultBounds(record, event)];
}

/** Shards are counted before anybody lists them. */
function heldBounds({ plan }: JobRecord, { ranges, trail }: HeldState): readonly Bound[] {
  const { shards } = plan.settings;
  const ends = ranges.map(({ end }) => bound("end of shards", end, shards));
  const held = ranges.reduce((sum, { first, end }) => sum + end - first, 0);
  const steps = trail.map(({ step }) => bound("step of the trail", step, plan.schedule.steps - 1));
  return [...ends, bound("number of shards", held, shards), ...steps];
}

/** Of the first result that breaks one. */
function resultBounds(record: JobRecord, { round, shards }: Report): readonly Bound[] {
  const { settings, validationExamples } = record.plan;
  const shardMax = shardCount(record, round) - 1;
  const examples = round === "training" ? settings.batch : validationExamples;
  const broken = shards.find(({ shard, count }) => shard > shardMax || count > examples);
  if (broken === undefined) return [];
  const { shard, count } = broken;
  return [bound("shard", shard, shardMax), bound(`examples of shard ${shard}`, count, examples)];
}

function bound(what: string, said: number, most: number): Bound {
  return { what, said, most };
}

function found(bounds: readonly Bound[], job: string): string | undefined {
  const broken = bounds.find(({ said, most }) => said > most);
  if (broken === undefined) return undefined;
  const { what, said, most } = broken;
  return `it said ${what} ${said} of ${job}, which can be at most ${most}`;
}
