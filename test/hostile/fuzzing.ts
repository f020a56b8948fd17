import { memoryUsage } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ConfigError, FailureError, WireError } from "../../src/job/problem.js";
import { fnv1a32, Random } from "../../src/plan/random.js";
import { Finding, Refusal, type Kind, type Target } from "./kind.js";

/** Feeds spoilt inputs of one kind and looks at what comes of each: a refusal in words, or what is right. */

export interface FuzzReport {
  readonly kind: string;
  readonly inputs: number;
  /** How many passed each stage. */
  readonly passed: Readonly<Record<string, number>>;
  readonly accepted: number;
  readonly slowestMs: number;
  /** After garbage collection, between a tenth of the way and the end. */
  readonly heapGrowthBytes: number;
  readonly residentBytes: number;
}

export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Number of the first input, to repeat one. */
  readonly first?: number;
}

/** More than any input takes on a loaded machine; what never ends takes longer. */
const inputMsMax = 20_000;

/** Throws a Finding that names kind, seed and input. */
export async function fuzz(kind: Kind, options: FuzzOptions): Promise<FuzzReport> {
  const { inputs, seed, first = 0 } = options;
  const target = await kind.open();
  const refusedAt = new Map<string, number>();
  let [accepted, slowestMs, heapBefore] = [0, 0, await heapBytes()];
  try {
    for (let i = first; i < first + inputs; i++) {
      if (i === first + Math.floor(inputs / 10)) heapBefore = await heapBytes();
      const startedMs = performance.now();
      const where = `${kind.name} --seed ${seed} --first ${i} --inputs 1`;
      const stage = await stageOf(kind, target, new Random(seed, fnv1a32(kind.name), i), where);
      slowestMs = Math.max(slowestMs, performance.now() - startedMs);
      if (stage === undefined) accepted += 1;
      else refusedAt.set(stage, (refusedAt.get(stage) ?? 0) + 1);
      checkPrototypes(where);
    }
  } finally {
    await target.close?.();
  }
  const heapGrowthBytes = (await heapBytes()) - heapBefore;
  return {
    ...{ kind: kind.name, inputs, accepted, slowestMs, heapGrowthBytes },
    passed: passedStages(kind, refusedAt, inputs),
    residentBytes: memoryUsage().rss,
  };
}

/** The stages that no input passed; `accepted` is the last. */
export function neverPassed({ passed, accepted }: FuzzReport): readonly string[] {
  const stages = Object.entries({ ...passed, accepted });
  return stages.filter(([, count]) => count === 0).map(([name]) => name);
}

/** The stage that refused the input; undefined where none did. */
async function stageOf(
  kind: Kind,
  target: Target,
  random: Random,
  where: string,
): Promise<string | undefined> {
  try {
    const feeding = target.feed(random);
    if (feeding !== undefined) await inTime(feeding);
    return undefined;
  } catch (error) {
    const wrong = wrongOf(error);
    if (wrong !== undefined) throw new Finding(`${where}: ${wrong}`, { cause: error });
    const message = error instanceof Error ? error.message : "";
    const stage = kind.stages.find(({ refusal }) => refusal.test(message));
    if (stage !== undefined) return stage.name;
    throw new Finding(`${where}: a refusal of no known stage: ${message}`, { cause: error });
  }
}

async function inTime(feeding: Promise<void>): Promise<void> {
  const ended = new AbortController();
  const late = sleep(inputMsMax, "late", { signal: ended.signal }).catch(() => "ended");
  try {
    if ((await Promise.race([feeding, late])) === "late")
      throw new Finding(`no end after ${inputMsMax} ms`);
  } finally {
    ended.abort();
  }
}

/** What libraries say of bytes that they cannot read, with errors that elsewhere are faults of a program. */
const expectedCause =
  /^(index out of range|The encoded data was not valid|invalid wire type|invalid end group|max depth)/;

/** Why the error may not come out, or be behind what comes out. */
function wrongOf(error: unknown): string | undefined {
  const isDefined = [ConfigError, FailureError, WireError, Refusal].some(
    (type) => error instanceof type,
  );
  if (error instanceof Finding) return error.message;
  if (!isDefined) return `${String(error)} came out`;
  for (let cause = causeOf(error); cause !== undefined; cause = causeOf(cause)) {
    const isFault = ["TypeError", "RangeError", "ReferenceError", "AssertionError"].includes(
      cause.name,
    );
    if (isFault && !expectedCause.test(cause.message)) return `${String(cause)} was behind it`;
  }
  return undefined;
}

function causeOf(error: unknown): Error | undefined {
  return error instanceof Error && error.cause instanceof Error ? error.cause : undefined;
}

const prototypes = [Object.prototype, Array.prototype, Function.prototype, String.prototype].map(
  (prototype) => ({ prototype, keys: Reflect.ownKeys(prototype).length }),
);

function checkPrototypes(where: string): void {
  for (const { prototype, keys } of prototypes) {
    if (Reflect.ownKeys(prototype).length !== keys)
      throw new Finding(`${where}: a prototype was changed`);
  }
}

function passedStages(
  { stages }: Kind,
  refusedAt: ReadonlyMap<string, number>,
  inputs: number,
): Record<string, number> {
  let left = inputs;
  return Object.fromEntries(
    stages.map(({ name }) => {
      left -= refusedAt.get(name) ?? 0;
      return [name, left];
    }),
  );
}

/**
 * What is reachable now: the collector is asked first. Twice, since it frees the bytes of buffers on another thread, after it
 * has answered: a hundred megabytes that are gone already were counted as growth.
 */
async function heapBytes(): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  for (let i = 0; i < 2 && typeof collect === "function"; i++) {
    Reflect.apply(collect, undefined, []);
    await sleep(50);
  }
  const { heapUsed, external } = memoryUsage();
  return heapUsed + external;
}
