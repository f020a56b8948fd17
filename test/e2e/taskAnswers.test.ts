import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import sharp from "sharp";
import { afterEach, expect, test } from "vitest";
import { architecture, tensors } from "../../src/bit/architecture.js";
import { initialParameters } from "../../src/bit/initial.js";
import type { Task } from "../../src/control/message.js";
import { resultBytesMax } from "../../src/job/limits.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { npzChunks } from "../../src/store/npz.js";
import { workerEvent } from "../../src/wire/workerEvent.js";
import { childEnvironment } from "../../worker/childEnvironment.js";
import { ChildProcess, describeExit } from "../../worker/childProcess.js";
import type { TaskMessage, TaskOrder } from "../../worker/tasks.js";
import { temporaryFolder } from "../unit/temporaryFolder.js";

let running: ChildProcess<TaskOrder, TaskMessage> | undefined;
afterEach(async () => {
  await running?.end();
});

/** What the real process of a task answers. */
async function answerTo(task: Task, store: string): Promise<string> {
  const last = await new Promise<TaskMessage>((resolve, reject) => {
    running = new ChildProcess<TaskOrder, TaskMessage>({
      file: pathToFileURL(join(packageRoot(), "dist", "worker", "task.js")),
      environment: childEnvironment(process.env, { threads: 1 }),
      onEvent: (message) => {
        if (message.kind !== "progress") resolve(message);
      },
      onExit: (exit) => reject(new Error(`it ended early with ${describeExit(exit)}`)),
    });
    running.send({ task, store });
  });
  if (last.kind !== "done") throw new Error(JSON.stringify(last));
  return last.result;
}

const model = "1-1-1-1x0.5";

async function tinyPicture(): Promise<Buffer> {
  const create = { width: 8, height: 8, channels: 3, background: "#804020" } as const;
  return sharp({ create }).png().toBuffer();
}

test("256 pictures of 21,843 classes are classified, and the answer arrives whole", async () => {
  const folder = await temporaryFolder();
  const store = await FolderStore.open(folder);
  const classes = 21_843;
  const parameters = initialParameters(architecture(model), classes, 1);
  const specs = tensors(architecture(model), classes);
  const bias = specs.find(({ name }) => name.endsWith("head/conv2d/bias"));
  if (bias === undefined) throw new Error("a model without a head");
  // The head is zero but for its bias, so the best classes are known: the last ones, best first.
  for (let label = 0; label < classes; label += 1) parameters[bias.offset + label] = label / 1000;
  await store.put("weights.npz", npzChunks(specs, parameters));
  await store.put("predict/x/000", [await tinyPicture()]);
  const pictures = Array.from({ length: 256 }, () => "predict/x/000");
  const best = 100;
  const what = { model, classes, best, crop: 32, threads: 1, weights: "weights.npz", pictures };
  const result = await answerTo({ kind: "predict", ...what }, folder);
  // More than a pipe holds, and within the bound of the wire.
  expect(result.length).toBeGreaterThan(300_000);
  expect(result.length).toBeLessThan(resultBytesMax);
  const rows = JSON.parse(result) as readonly (readonly (readonly [number, number])[])[];
  expect(rows).toHaveLength(256);
  for (const row of rows) {
    expect(row.map(([label]) => label)).toEqual(
      Array.from({ length: best }, (_, i) => classes - 1 - i),
    );
  }
  const [, second] = rows[0] ?? [];
  const total = Array.from({ length: classes }, (_, i) => Math.exp((i - classes + 1) / 1000));
  const expected = Math.exp(-1 / 1000) / total.reduce((sum, power) => sum + power, 0);
  expect(Math.abs((second?.[1] ?? 0) / expected - 1)).toBeLessThan(1e-4);
  const event = { kind: "task-done", taskId: "t", result } as const;
  expect(workerEvent.decode(workerEvent.encode(event))).toEqual(event);
}, 240_000);

/** A folder of so many classes with names of so many characters, one picture each. */
async function dataOf(classes: number, nameLength: number): Promise<string> {
  const folder = await temporaryFolder();
  const picture = await tinyPicture();
  for (let i = 0; i < classes; i += 1) {
    const name = join(folder, `${String(i).padStart(6, "0")}${"x".repeat(nameLength - 6)}`);
    await mkdir(name);
    await writeFile(join(name, "a.png"), picture);
  }
  return folder;
}

test("the summary of 1,900 classes with long names arrives whole", async () => {
  const data = await dataOf(1_900, 200);
  const settings = { name: "j", model, data, validationFraction: 0 };
  const result = await answerTo({ kind: "index", settings }, await temporaryFolder());
  const { classes } = JSON.parse(result) as { readonly classes: readonly string[] };
  expect(classes).toHaveLength(1_900);
  expect(result.length).toBeGreaterThan(380_000);
}, 240_000);
