import { architecture, tensors } from "../src/bit/architecture.js";
import type { Task } from "../src/control/message.js";
import { buildIndex } from "../src/data/buildIndex.js";
import { summarize } from "../src/data/dataIndex.js";
import { openStored } from "../src/data/openStored.js";
import { storeIndex } from "../src/data/storedIndex.js";
import type { StoredData } from "../src/data/storedSource.js";
import { settings as table } from "../src/job/settings.js";
import { onStarterGone } from "../src/process/starterGone.js";
import { linkRootsOf } from "../src/process/linkRoots.js";
import { pixelsSetting } from "../src/process/pixelsSetting.js";
import { openStore } from "../src/store/openStore.js";
import { readNpz } from "../src/store/readNpz.js";
import type { Store } from "../src/store/store.js";
import { failureOf } from "./failure.js";
import { predict } from "./predict.js";
import { withWeights } from "./state.js";
import type { TaskMessage, TaskOrder } from "./tasks.js";

/** The process of one task: it carries out the one order that it is sent, answers, and ends. */

const progressMs = 200;

/** Resolves once the message is out of this process, or nobody is there to take it. */
function send(message: TaskMessage): Promise<void> {
  return new Promise((resolve) => {
    if (!process.connected || process.send === undefined) resolve();
    else process.send(message, undefined, undefined, () => resolve());
  });
}

async function run({ task, store: address }: TaskOrder): Promise<string> {
  const store = await openStore(address, process.env);
  if (task.kind === "predict") return predict(task, store, pixelsSetting(process.env));
  return index(task, openStored(store, address, process.env));
}

/** Reads all pictures once, keeps the index in the store and answers with its summary. */
async function index(
  { settings }: Extract<Task, { readonly kind: "index" }>,
  stored: StoredData,
): Promise<string> {
  const { store } = stored;
  let toldMs = 0;
  const tell = ({ done, total }: { readonly done: number; readonly total: number }): void => {
    const nowMs = performance.now();
    if (done < total && nowMs - toldMs < progressMs) return;
    toldMs = nowMs;
    void send({ kind: "progress", done, total });
  };
  const { data, validation, examplesPerClass } = settings;
  const { validationFraction = table.validationFraction.default, seed = table.seed.default } =
    settings;
  const few = examplesPerClass === 0 ? undefined : examplesPerClass;
  const linkRoots = linkRootsOf(process.env);
  const pixelsMax = pixelsSetting(process.env);
  const built = await buildIndex(
    { data, validation, validationFraction, examplesPerClass: few, seed, linkRoots, pixelsMax },
    tell,
    new AbortController().signal, // Stopping the task ends this process.
    stored,
  );
  await checkWeights(settings, built.classes.length, store);
  await storeIndex(store, built);
  return JSON.stringify(summarize(built));
}

/** Weights that the model cannot take are refused now, not when the job's turn comes. */
async function checkWeights(
  settings: Extract<Task, { readonly kind: "index" }>["settings"],
  classes: number,
  store: Store,
): Promise<void> {
  const { weights = "", model, steps } = settings;
  if (weights === "") return;
  const specs = tensors(architecture(model), classes);
  await withWeights(weights, store, (path) =>
    readNpz(path, specs, { allowOtherHead: steps !== 0 }),
  );
}

process.on("message", (order: TaskOrder) => {
  run(order)
    .then(
      (result) => send({ kind: "done", result }),
      (error: unknown) => send({ kind: "failed", ...failureOf(error) }),
    )
    // Only now: what is larger than the pipe would be lost with the process.
    .finally(() => process.disconnect());
});
onStarterGone(() => process.exit(0));
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => undefined);
process.on("SIGHUP", () => undefined);
