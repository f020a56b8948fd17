import { basename } from "node:path";
import { architecture, tensors } from "../src/bit/architecture.js";
import type { Task } from "../src/control/message.js";
import { decodePicture } from "../src/data/picture.js";
import { squash } from "../src/data/resize.js";
import type { Engine } from "../src/engine/engine.js";
import { createEngine } from "../src/engine/recordedEngine.js";
import { loadTensorFlow } from "../src/engine/tensorflow.js";
import type { Store } from "../src/store/store.js";
import { temporaryFolder } from "../src/process/temporaryFolder.js";
import { withStoredFile } from "../src/store/storedFile.js";
import { readWhole } from "../src/store/readWhole.js";
import { readNpz } from "../src/store/readNpz.js";

type PredictTask = Extract<Task, { readonly kind: "predict" }>;

const microBatch = 8;

/** JSON of one list of probabilities per picture, in the order of the classes. */
export async function predict(task: PredictTask, store: Store): Promise<string> {
  const { crop, classes, pictures } = task;
  const images: Uint8Array[] = [];
  for (const name of pictures) {
    const picture = await decodePicture(await readWhole(store, name), basename(name));
    images.push(squash(picture, crop, crop).pixels);
  }
  const engine = await trainedEngine(task, store, await temporaryFolder());
  return JSON.stringify(probabilities(engine, images, classes));
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

function probabilities(
  engine: Engine,
  images: readonly Uint8Array[],
  classes: number,
): readonly (readonly number[])[] {
  const rows: number[][] = [];
  for (let first = 0; first < images.length; first += microBatch) {
    const part = images.slice(first, first + microBatch);
    const batch = new Uint8Array(microBatch * (part[0]?.length ?? 0));
    part.forEach((image, i) => batch.set(image, i * image.length));
    const logits = engine.logits(batch);
    for (const i of part.keys()) {
      rows.push(softmax(logits.subarray(i * classes, (i + 1) * classes)));
    }
  }
  return rows;
}

function softmax(logits: Float32Array): number[] {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - largest));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}
