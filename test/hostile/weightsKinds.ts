import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TensorSpec } from "../../src/bit/architecture.js";
import { checkpointName } from "../../src/job/storedNames.js";
import type { Random } from "../../src/plan/random.js";
import { loadCheckpoint, readManifest, saveCheckpoint } from "../../src/store/checkpoint.js";
import { parameterDigest } from "../../src/store/digest.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { encodeManifest, type CheckpointManifest } from "../../src/store/manifest.js";
import { npyHeader, npyArray, npyTextLength } from "../../src/store/npyHeader.js";
import { readNpz } from "../../src/store/readNpz.js";
import { readSafetensors, safetensorsChunks } from "../../src/store/safetensors.js";
import { hold, Refusal, type Kind } from "./kind.js";
import { chance, mutate, pick, word } from "./mutate.js";
import { mutateJson } from "./mutateJson.js";
import { spoiltZip, type Member } from "./spoiltZip.js";

const specs: readonly TensorSpec[] = [
  { name: "resnet/block1/unit01/a/kernel", shape: [1, 1, 2, 3], offset: 0, size: 6 },
  { name: "resnet/head/conv2d/bias", shape: [4], offset: 6, size: 4 },
  { name: "resnet/head/conv2d/kernel", shape: [1, 1, 3, 4], offset: 10, size: 12 },
];
const flat = (): Float32Array => Float32Array.from({ length: 22 }, (_, i) => i - 10.5);
const bytesOf = (size: number): Buffer =>
  Buffer.from(Float32Array.from({ length: size }, (_, i) => i / 2).buffer);

export const npzKind: Kind = {
  name: "npz",
  stages: [
    { name: "archive found", refusal: /is not a readable npz file/ },
    {
      name: "directory listed",
      refusal:
        /twice$|is encrypted$|compression method \d+$|members are over|list of members is damaged|leads out of it/,
    },
    { name: "names match", refusal: /they (lack|have) / },
    { name: "size announced fits", refusal: /has \d+ bytes, more than/ },
    {
      name: "member opened",
      refusal: /is not where the archive says/,
    },
    {
      name: "npy header",
      refusal: /is not a NumPy array|version \d+ of the npy|header of \d+ bytes/,
    },
    {
      name: "npy shape",
      refusal: /dtype|that NumPy does not write|ends inside its header|has the shape/,
    },
    { name: "shape matches", refusal: /has shape/ },
    {
      name: "inflated",
      refusal: /is damaged$|as many bytes as/,
    },
    { name: "checksum", refusal: /fails its checksum$/ },
    { name: "finite", refusal: /has (NaN|-?Infinity) at/ },
  ],
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), "bitfleet-hostile-"));
    const path = join(folder, "weights.npz");
    return {
      feed: async (random) => {
        await writeFile(path, archive(random));
        const allowOtherHead = chance(random, 0.5);
        const weights = await readNpz(path, specs, { allowOtherHead });
        hold(weights.parameters.every(Number.isFinite), "a number that is not finite");
        hold(Number.isSafeInteger(weights.headClasses), `${weights.headClasses} classes`);
        hold(allowOtherHead || weights.headLoaded, "another head was let in");
      },
      close: () => rm(folder, { recursive: true, force: true }),
    };
  },
};

function archive(random: Random): Buffer {
  const members: Member[] = specs.map(({ name, shape, size }) => ({
    name: `${name}.npy`,
    data: Buffer.concat([npyHeader(shape), bytesOf(size)]),
  }));
  const zip = spoiltZip(random, chance(random, 0.7) ? spoiltMembers(random, members) : members);
  return chance(random, 0.3) ? mutate(random, zip) : zip;
}

function spoiltMembers(random: Random, members: readonly Member[]): readonly Member[] {
  const at = random.below(members.length);
  const [chosen, shape] = [members[at], specs[at]?.shape ?? []];
  if (chosen === undefined) return members;
  const others = members.filter((member) => member !== chosen);
  const size = shape.reduce((product, extent) => product * extent, 1);
  switch (random.below(9)) {
    case 0:
      return [...others, { ...chosen, name: pick(random, [word(random), `../${chosen.name}`]) }];
    case 1:
      return [...members, chosen];
    case 2: // A bomb: a small member that inflates to a megabyte.
      return [...others, { ...chosen, data: Buffer.concat([chosen.data, Buffer.alloc(2 ** 20)]) }];
    case 3:
      return [...others, { ...chosen, data: npy(header(random, shape), bytesOf(size)) }];
    case 4: {
      const data = Buffer.from(chosen.data);
      data.writeFloatLE(
        pick(random, [NaN, Infinity, 1]),
        data.length - 4 * (1 + random.below(size)),
      );
      return [...others, { ...chosen, data }];
    }
    case 5: {
      const other = [...shape.slice(0, -1), pick(random, [0, 1, 7, 1e30])];
      return [...others, { ...chosen, data: npy(text(other), bytesOf(size)) }];
    }
    default:
      return [...others, { ...chosen, data: mutate(random, chosen.data) }];
  }
}

function text(shape: readonly number[], descr = "<f4", fortran = "False"): string {
  const extents = shape.map((extent) => BigInt(extent).toString()).join(", ");
  return `{'descr': '${descr}', 'fortran_order': ${fortran}, 'shape': (${extents},), }`;
}

function header(random: Random, shape: readonly number[]): string {
  const descr = pick(random, ["<f4", "|O", ">f4", "<f8", ">f2", "<i4", "<f4'"]);
  const good = text(shape, descr, pick(random, ["False", "True", "0"]));
  return chance(random, 0.2) ? mutate(random, Buffer.from(good)).toString("latin1") : good;
}

function npy(headerText: string, data: Uint8Array): Buffer {
  const bytes = Buffer.from(`${headerText}\n`, "latin1").subarray(0, 65_535);
  const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 0, 0]);
  start.writeUInt16LE(bytes.length, 8);
  return Buffer.concat([start, bytes, data]);
}

export const npyKind: Kind = {
  name: "npy-header",
  stages: [
    { name: "start", refusal: /is not a NumPy array|version \d+ of|header of \d+ bytes/ },
    { name: "dtype", refusal: /dtype|Python objects/ },
    { name: "form", refusal: /that NumPy does not write|has the shape/ },
  ],
  open: async () => ({
    feed: (random) => {
      const bytes = chance(random, 0.5)
        ? npy(header(random, [1, 2, 3]), new Uint8Array(0))
        : mutate(random, npyHeader([1, 2, 3]));
      const start = Buffer.concat([bytes.subarray(0, 10), Buffer.alloc(10)]).subarray(0, 10);
      const length = npyTextLength(start);
      if (typeof length === "string") throw new Refusal(length);
      const array = npyArray(bytes.subarray(10, 10 + length).toString("latin1"));
      if (typeof array === "string") throw new Refusal(array);
      const { shape } = array;
      hold(
        shape.every((extent) => Number.isSafeInteger(extent)),
        `shape (${shape.join()})`,
      );
    },
  }),
};

const tensorStages = [
  { name: "header length", refusal: /ends inside its header|header of \d+ bytes is over/ },
  { name: "header JSON", refusal: /header is (not JSON|no object)/ },
  {
    name: "entries",
    refusal: /has dtype|no usable shape|has no offsets|has -?\d+(e\+\d+)? bytes for/,
  },
  { name: "order", refusal: /begins at/ },
  { name: "names and shapes", refusal: /does not belong|has shape/ },
  { name: "data", refusal: /ends inside the tensor|lacks the tensor|goes on after/ },
];

export const safetensorsKind: Kind = {
  name: "safetensors",
  stages: tensorStages,
  open: async () => ({
    feed: async (random) => {
      const values = flat();
      const tensors = named(values);
      const bytes = spoiltSafetensors(random, Buffer.concat([...safetensorsChunks(named(flat()))]));
      await readSafetensors([bytes.subarray(0, 9), bytes.subarray(9)], tensors, "a file");
    },
  }),
};

function named(values: Float32Array) {
  return specs.map(({ name, shape, offset, size }) => ({
    ...{ name, shape },
    values: values.subarray(offset, offset + size),
  }));
}

/** Mostly with a header that is JSON, and of the length that stands before it. */
function spoiltSafetensors(random: Random, bytes: Buffer): Buffer {
  if (chance(random, 0.4)) return mutate(random, bytes);
  const length = Number(bytes.readBigUInt64LE());
  const json = Buffer.from(mutateJson(random, bytes.toString("utf8", 8, 8 + length)));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(json.length));
  const data = bytes.subarray(8 + length);
  const keepsHeader = chance(random, 0.5);
  const head = keepsHeader ? bytes.subarray(0, 8 + length) : Buffer.concat([prefix, json]);
  return Buffer.concat([head, chance(random, 0.5) ? data : mutate(random, data)]);
}

export const checkpointKind: Kind = {
  name: "checkpoint",
  stages: [
    { name: "manifest", refusal: /manifest (is|cannot|has)|no manifest/ },
    { name: "layout", refusal: /lays out/ },
    { name: "length", refusal: /its data (has|is gone)/ },
    ...tensorStages,
    { name: "SHA-256", refusal: /its SHA-256 is not/ },
    { name: "parameters", refusal: /its parameters are not/ },
  ],
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), "bitfleet-hostile-"));
    const store = await FolderStore.open(folder);
    const layout = {
      job: "digits",
      attempt: 1,
      step: 10,
      term: 1,
      model: "R50x1",
      classes: 4,
      specs,
    };
    const state = { ...layout, parameters: flat(), momentum: flat() };
    const manifest = await saveCheckpoint(store, state);
    const data = await readFile(join(folder, manifest.name));
    const dataPath = join(folder, checkpointName("digits", 10));
    return {
      feed: async (random) => {
        const spoilt = chance(random, 0.8) ? spoiltSafetensors(random, data) : data;
        await writeFile(dataPath, spoilt);
        const json = encodeManifest(await spoiltManifest(random, manifest, spoilt));
        const bytes = chance(random, 0.1) ? mutate(random, json) : json;
        await writeFile(dataPath.replace(/safetensors$/, "json"), bytes);
        const read = await readManifest(store, "digits", 10);
        const loaded = await loadCheckpoint(store, read, specs);
        hold(
          (await parameterDigest(loaded.parameters)) === read.parameterDigest,
          "other parameters",
        );
        hold(createHash("sha256").update(spoilt).digest("hex") === read.sha256, "other bytes");
      },
      close: () => rm(folder, { recursive: true, force: true }),
    };
  },
};

/** Says of the data what is so, and at times something else. */
async function spoiltManifest(
  random: Random,
  manifest: CheckpointManifest,
  data: Buffer,
): Promise<CheckpointManifest> {
  const bytes = chance(random, 0.95) ? data.length : random.below(9999);
  const sha256 = createHash("sha256").update(data).digest("hex");
  const layoutDigest = chance(random, 0.95) ? manifest.layoutDigest : "ab".repeat(32);
  const parameters = data.subarray(-4 * flat().length);
  const aligned = new Float32Array(
    new Uint8Array(parameters).slice(0, parameters.length & ~3).buffer,
  );
  const digest = chance(random, 0.8) ? await parameterDigest(aligned) : manifest.parameterDigest;
  const signed = chance(random, 0.8) ? sha256 : manifest.sha256;
  return { ...manifest, bytes, layoutDigest, sha256: signed, parameterDigest: digest };
}
