import { createHash } from "node:crypto";
import { copyFile, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { architecture, tensors, type TensorSpec } from "../../src/bit/architecture.js";
import { FailureError } from "../../src/job/problem.js";
import { checkpointName } from "../../src/job/storedNames.js";
import {
  CheckpointError,
  highestManifestTerm,
  loadCheckpoint,
  pruneCheckpoints,
  readManifest,
  saveCheckpoint,
  type CheckpointState,
} from "../../src/store/checkpoint.js";
import { parameterDigest } from "../../src/store/digest.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { StoreError, type Store } from "../../src/store/store.js";
import { failureOf } from "../../worker/failure.js";
import { newestCheckpoint } from "../support/newestCheckpoint.js";
import { MemoryStore } from "./memoryStore.js";
import { temporaryFolder } from "./temporaryFolder.js";

const specs: readonly TensorSpec[] = [
  { name: "resnet/a/kernel", shape: [2, 2], offset: 0, size: 4 },
  { name: "resnet/b/bias", shape: [3], offset: 4, size: 3 },
];

/** Small enough that every byte of it can be tried. */
function stateAt(step: number, attempt = 0): CheckpointState {
  return {
    ...{ job: "digits", attempt, step, term: 3, model: "tiny", classes: 3, specs },
    parameters: Float32Array.from({ length: 7 }, (_, i) => step + i / 8),
    momentum: Float32Array.from({ length: 7 }, (_, i) => -step * i),
  };
}

const newest = (store: Store, job: string): ReturnType<typeof newestCheckpoint> =>
  newestCheckpoint(store, job, () => specs);

async function storeWith(...steps: readonly number[]): Promise<FolderStore> {
  const store = await FolderStore.open(await temporaryFolder());
  for (const step of steps) await saveCheckpoint(store, stateAt(step));
  return store;
}

const dataName = checkpointName("digits", 20);
const manifestName = "jobs/digits/checkpoint-00000020.json";

test("a checkpoint is two files whose names sort by step", async () => {
  const store = await storeWith(20);
  expect(await store.list("")).toEqual([manifestName, dataName]);
  expect(dataName).toBe("jobs/digits/checkpoint-00000020.safetensors");
});

test("the manifest says what was saved, and the digests are those of the bytes", async () => {
  const store = await storeWith();
  const state = stateAt(20, 2);
  const manifest = await saveCheckpoint(store, state);
  const bytes = await readFile(store.path(dataName));
  const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
  expect(manifest).toMatchObject({
    ...{ name: dataName, job: "digits", attempt: 2, step: 20, term: 3, model: "tiny", classes: 3 },
    sha256: sha256(bytes),
    bytes: bytes.length,
    parameterDigest: sha256(new Uint8Array(state.parameters.buffer)),
  });
  expect(await readManifest(store, "digits", 20)).toEqual(manifest);
  expect(await newest(store, "digits")).toEqual({ manifest, skipped: [] });
});

test("what was saved is loaded to the last bit, the sign of zero too", async () => {
  const store = await storeWith();
  const state = stateAt(0);
  expect(Object.is(state.momentum[0], -0)).toBe(true);
  const manifest = await saveCheckpoint(store, state);
  const { parameters, momentum } = await loadCheckpoint(store, manifest, specs);
  expect(new Uint8Array(parameters.buffer)).toEqual(new Uint8Array(state.parameters.buffer));
  expect(new Uint8Array(momentum.buffer)).toEqual(new Uint8Array(state.momentum.buffer));
});

test("a real model goes through, and its digest is of the flat vector", async () => {
  const store = await storeWith();
  const own = tensors(architecture("1-1-1-1x0.5"), 5);
  const last = own.at(-1);
  const count = (last?.offset ?? 0) + (last?.size ?? 0);
  const parameters = Float32Array.from({ length: count }, (_, i) => Math.sin(i));
  const momentum = Float32Array.from({ length: count }, (_, i) => Math.cos(i));
  const named = { job: "real", attempt: 0, step: 7, term: 1, model: "1-1-1-1x0.5", classes: 5 };
  const manifest = await saveCheckpoint(store, { ...named, specs: own, parameters, momentum });
  const loaded = await loadCheckpoint(store, manifest, own);
  expect(Buffer.from(loaded.parameters.buffer).equals(Buffer.from(parameters.buffer))).toBe(true);
  expect(Buffer.from(loaded.momentum.buffer).equals(Buffer.from(momentum.buffer))).toBe(true);
  expect(manifest.parameterDigest).toBe(await parameterDigest(parameters));
});

test("the same step saved again by another attempt has the same data", async () => {
  const store = await storeWith(20);
  const before = await readFile(store.path(dataName));
  const manifest = await saveCheckpoint(store, stateAt(20, 5));
  expect((await readFile(store.path(dataName))).equals(before)).toBe(true);
  expect(await newest(store, "digits")).toEqual({ manifest, skipped: [] });
});

test("the newest step is taken, by number and not by when it was written", async () => {
  const store = await storeWith(100, 5, 123_456_789, 20);
  expect((await newest(store, "digits")).manifest?.step).toBe(123_456_789);
  expect((await newest(store, "digit")).manifest).toBeUndefined();
});

test("numbers that are not finite are never saved, and the tensor is named", async () => {
  for (const bad of [NaN, Infinity, -Infinity]) {
    const store = await storeWith();
    const state = stateAt(20);
    state.momentum[5] = bad;
    const saving = saveCheckpoint(store, state);
    await expect(saving).rejects.toBeInstanceOf(FailureError);
    await expect(saving).rejects.toThrow(
      `not all momentum of digits are finite: resnet/b/bias has ${bad} at 1`,
    );
    expect(await store.list("")).toEqual([]);
  }
});

test.each([dataName, manifestName])("%s cut off anywhere is passed over", async (name) => {
  const store = new MemoryStore();
  for (const step of [10, 20]) await saveCheckpoint(store, stateAt(step));
  const whole = store.files.get(name) ?? new Uint8Array(0);
  expect(whole.length).toBeGreaterThan(300);
  for (let length = whole.length - 1; length >= 0; length--) {
    store.files.set(name, whole.subarray(0, length));
    const { manifest, skipped } = await newest(store, "digits");
    expect(manifest?.step).toBe(10);
    expect(skipped.map((checkpoint) => checkpoint.name)).toEqual([dataName]);
  }
});

test.each([dataName, manifestName])("%s with any bit flipped is passed over", async (name) => {
  const store = new MemoryStore();
  for (const step of [10, 20]) await saveCheckpoint(store, stateAt(step));
  const whole = store.files.get(name) ?? new Uint8Array(0);
  for (let i = 0; i < whole.length * 8; i++) {
    const flipped = Uint8Array.from(whole);
    flipped[i >> 3] = (flipped[i >> 3] ?? 0) ^ (1 << (i % 8));
    store.files.set(name, flipped);
    expect((await newest(store, "digits")).manifest?.step).toBe(10);
  }
});

test("a save that was killed between its files is passed over, with the reason", async () => {
  const store = await storeWith(10, 20);
  await rm(store.path(manifestName));
  const { manifest, skipped } = await newest(store, "digits");
  expect(manifest?.step).toBe(10);
  const reason = "it has no manifest: its save did not end";
  expect(skipped).toEqual([{ name: dataName, reason }]);
  await expect(readManifest(store, "digits", 20)).rejects.toThrow(
    `the checkpoint ${dataName} cannot be used: ${reason}`,
  );
});

test("each kind of damage has its reason, and when all are damaged there is none", async () => {
  const store = await storeWith(10, 20, 30, 40);
  await rm(store.path(checkpointName("digits", 40)));
  await truncate(store.path(checkpointName("digits", 30)), 100);
  const bytes = await readFile(store.path(dataName));
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
  await writeFile(store.path(dataName), bytes);
  const [from, to] = [
    "jobs/digits/checkpoint-00000020.json",
    "jobs/digits/checkpoint-00000010.json",
  ];
  await copyFile(store.path(from), store.path(to));
  const { manifest, skipped } = await newest(store, "digits");
  expect(manifest).toBeUndefined();
  expect(skipped.map(({ reason }) => reason)).toEqual([
    "its data is gone",
    expect.stringMatching(/^its data has 100 of \d+ bytes$/),
    "its SHA-256 is not its manifest's",
    `its manifest is that of ${dataName}`,
  ]);
});

test("loading checks the bytes itself, whatever was checked before", async () => {
  const store = await storeWith();
  const manifest = await saveCheckpoint(store, stateAt(20));
  const bytes = await readFile(store.path(dataName));
  bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
  await writeFile(store.path(dataName), bytes);
  const loading = loadCheckpoint(store, manifest, specs);
  await expect(loading).rejects.toThrow(`${dataName} cannot be used: its SHA-256 is not its`);
  await expect(loading).rejects.toBeInstanceOf(FailureError);
});

test("a manifest whose parameters are others is refused", async () => {
  const store = await storeWith();
  const manifest = await saveCheckpoint(store, stateAt(20));
  const wrong = { ...manifest, parameterDigest: "0".repeat(64) };
  await expect(loadCheckpoint(store, wrong, specs)).rejects.toThrow("its parameters are not its");
});

test("a checkpoint of another layout is refused before it is read", async () => {
  const store = await storeWith();
  const manifest = await saveCheckpoint(store, stateAt(20));
  const other = specs.map((spec) => ({ ...spec, name: `${spec.name}2` }));
  await expect(loadCheckpoint(store, manifest, other)).rejects.toThrow(
    "this program lays out tiny with 3 classes otherwise",
  );
});

test("pruning keeps the newest complete ones and deletes what is older", async () => {
  const store = await storeWith(10, 20, 30, 40, 50);
  await rm(store.path("jobs/digits/checkpoint-00000050.json")); // A save under way.
  await truncate(store.path(checkpointName("digits", 40)), 10); // Does not count.
  await pruneCheckpoints(store, "digits", 2);
  expect(await store.list("jobs/digits/")).toEqual([
    manifestName,
    dataName,
    "jobs/digits/checkpoint-00000030.json",
    "jobs/digits/checkpoint-00000030.safetensors",
    "jobs/digits/checkpoint-00000040.json",
    "jobs/digits/checkpoint-00000040.safetensors",
    "jobs/digits/checkpoint-00000050.safetensors",
  ]);
  expect((await newest(store, "digits")).manifest?.step).toBe(30);
});

test("pruning up to a step leaves later checkpoints and does not count them", async () => {
  const store = await storeWith(10, 20, 30, 40);
  await pruneCheckpoints(store, "digits", 1, 20);
  const left = (await store.list("jobs/digits/")).filter((name) => name.endsWith(".json"));
  expect(left).toEqual(
    [20, 30, 40].map((step) => `jobs/digits/checkpoint-${String(step).padStart(8, "0")}.json`),
  );
});

test("pruning leaves other jobs, exports and too few checkpoints alone", async () => {
  const store = await storeWith(10);
  await saveCheckpoint(store, { ...stateAt(5), job: "digits-2" });
  await store.put("jobs/digits/weights.npz", [Buffer.from("x")]);
  const before = await store.list("");
  await pruneCheckpoints(store, "digits", 1);
  expect(await store.list("")).toEqual(before);
});

test.each([dataName, manifestName])(
  "%s with any bit flipped, or cut off anywhere, is refused by a load as a damaged checkpoint",
  async (name) => {
    const store = new MemoryStore();
    await saveCheckpoint(store, stateAt(20));
    const whole = store.files.get(name) ?? new Uint8Array(0);
    const load = async (damaged: Uint8Array): Promise<void> => {
      store.files.set(name, damaged);
      const loading = readManifest(store, "digits", 20).then((manifest) =>
        loadCheckpoint(store, manifest, specs),
      );
      const error = await loading.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(CheckpointError);
      const { cause, message } = failureOf(error);
      expect(cause).toBe("checkpoint");
      expect(message).toMatch(
        /^the checkpoint jobs\/digits\/checkpoint-00000020\S+ cannot be used: /,
      );
    };
    for (let i = 0; i < whole.length * 8; i++) {
      const flipped = Uint8Array.from(whole);
      flipped[i >> 3] = (flipped[i >> 3] ?? 0) ^ (1 << (i % 8));
      await load(flipped);
    }
    for (let length = 0; length < whole.length; length++) await load(whole.subarray(0, length));
  },
);

/** One of its files cannot be read, or not even be looked up. */
class BrokenStore extends MemoryStore {
  broken: { readonly method: string; readonly name: string; readonly error: Error } | undefined;

  override get(name: string): AsyncIterable<Uint8Array> {
    this.#check("get", name);
    return super.get(name);
  }

  override async stat(name: string): Promise<{ readonly bytes: number } | undefined> {
    this.#check("stat", name);
    return super.stat(name);
  }

  #check(method: string, name: string): void {
    if (this.broken?.method === method && this.broken.name === name) throw this.broken.error;
  }
}

test.each([
  new StoreError("it cannot be read", "the disk has an error", undefined),
  new FailureError("it is gone"),
])(
  "a checkpoint of which a file cannot be read is damaged, and hinders no start: %s",
  async (error) => {
    for (const name of [dataName, manifestName])
      for (const method of ["get", "stat"]) {
        const store = new BrokenStore();
        for (const step of [10, 20]) await saveCheckpoint(store, { ...stateAt(step), term: step });
        store.broken = { method, name, error };
        const { manifest, skipped } = await newest(store, "digits");
        expect(manifest?.step).toBe(10);
        expect(skipped.map((checkpoint) => checkpoint.name)).toEqual([dataName]);
        expect(skipped[0]?.reason).toMatch(/the disk has an error|it is gone/);
        expect(await highestManifestTerm(store)).toBe(name === manifestName ? 10 : 20);
      }
  },
);
