import { architecture, tensors } from "../src/bit/architecture.js";
import type { Task } from "../src/control/message.js";
import { withPicture } from "../src/data/picture.js";
import { squash, type Picture } from "../src/data/resize.js";
import type { Engine } from "../src/engine/engine.js";
import { createEngine } from "../src/engine/recordedEngine.js";
import { loadTensorFlow } from "../src/engine/tensorflow.js";
import { ConfigError } from "../src/job/problem.js";
import type { Store } from "../src/store/store.js";
import { temporaryFolder } from "../src/process/temporaryFolder.js";
import { withStoredFile } from "../src/store/storedFile.js";
import { readWhole } from "../src/store/readWhole.js";
import { readNpz } from "../src/store/readNpz.js";

type PredictTask = Extract<Task, { readonly kind: "predict" }>;

const microBatch = 8;

/**
 * JSON of one list per picture: label and probability of the best classes, best first. For a picture that cannot be decoded a text
 * that says why.
 */
export async function predict(task: PredictTask, store: Store, pixelsMax: number): Promise<string> {
  const { crop, classes, best, pictures } = task;
  const images: (Uint8Array | string)[] = [];
  for (const name of pictures) {
    const squashed = (picture: Picture): Uint8Array => squash(picture, crop, crop).pixels;
    const bytes = await readWhole(store, name);
    images.push(await withPicture(bytes, name, squashed, { pixelsMax }).catch(problemOf));
  }
  const good = images.filter((image) => typeof image !== "string");
  if (good.length === 0) return JSON.stringify(images);
  const engine = await trainedEngine(task, store, await temporaryFolder());
  const rows = bestOfEach(engine, good, { classes, best }).values();
  return JSON.stringify(
    images.map((image) => (typeof image === "string" ? image : rows.next().value)),
  );
}

function problemOf(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  throw error;
}

async function trainedEngine(
  { model: name, classes, crop, weights }: PredictTask,
  store: Store,
  scratch: string,
): Promise<Engine> {
  const model = architecture(name);
  const { parameters } = await withStoredFile(store, weights, (path) =>
    readNpz(path, tensors(model, classes), { allowOtherHead: false }),
  );
  const tf = await loadTensorFlow();
  const spec = { architecture: model, classes, side: crop, microBatch, mixup: false };
  const engine = createEngine(tf, spec, scratch);
  engine.write(parameters, undefined);
  return engine;
}

function bestOfEach(
  engine: Engine,
  images: readonly Uint8Array[],
  { classes, best }: { readonly classes: number; readonly best: number },
): readonly (readonly Score[])[] {
  const rows: (readonly Score[])[] = [];
  for (let first = 0; first < images.length; first += microBatch) {
    const part = images.slice(first, first + microBatch);
    const batch = new Uint8Array(microBatch * (part[0]?.length ?? 0));
    part.forEach((image, i) => batch.set(image, i * image.length));
    const logits = engine.logits(batch);
    for (const i of part.keys()) {
      rows.push(bestScores(logits.subarray(i * classes, (i + 1) * classes), best));
    }
  }
  return rows;
}

/** Label, and probability with the digits that a float32 has. */
export type Score = readonly [number, number];

/** The `count` classes of the highest probability, best first; of two alike the lower label. */
export function bestScores(logits: Float32Array, count: number): readonly Score[] {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return Array.from(powers.keys())
    .toSorted((a, b) => (powers[b] ?? 0) - (powers[a] ?? 0))
    .slice(0, count)
    .map((label) => [label, Number(((powers[label] ?? 0) / total).toPrecision(float32Digits))]);
}

const float32Digits = 9;
