import { execFileSync } from "node:child_process";
import { readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { architecture, tensors, type TensorSpec } from "../../src/bit/architecture.js";
import { ConfigError } from "../../src/job/problem.js";
import { npyHeader } from "../../src/store/npyHeader.js";
import { npzChunks } from "../../src/store/npz.js";
import { readNpz } from "../../src/store/readNpz.js";
import { storedZip } from "../../src/store/zip.js";
import { temporaryFolder } from "./temporaryFolder.js";

const kernel = "resnet/head/conv2d/kernel";
const bias = "resnet/head/conv2d/bias";
const specs: readonly TensorSpec[] = [
  { name: "resnet/block1/unit01/a/kernel", shape: [1, 1, 2, 3], offset: 0, size: 6 },
  { name: bias, shape: [4], offset: 6, size: 4 },
  { name: kernel, shape: [1, 1, 3, 4], offset: 10, size: 12 },
];
const parameters = Float32Array.from({ length: 22 }, (_, i) => i - 10.5);
const exact = { allowOtherHead: false };
const transfer = { allowOtherHead: true };

async function written(chunks: Iterable<Uint8Array>): Promise<string> {
  const path = join(await temporaryFolder(), "weights.npz");
  await writeFile(path, Buffer.concat([...chunks]));
  return path;
}

const floats = (values: readonly number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);

/** An array file with any header, true or not. */
function npy(header: string, data: Uint8Array): Buffer {
  const text = Buffer.from(`${header}\n`, "latin1");
  const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, 0, 0]);
  start.writeUInt16LE(text.length, 8);
  return Buffer.concat([start, text, data]);
}

function plain(shape: readonly number[]): Buffer {
  const size = shape.reduce((product, extent) => product * extent, 1);
  return Buffer.concat([npyHeader(shape), floats(Array.from({ length: size }, (_, i) => i))]);
}

/** A good file but for the members given; an undefined one is left out. */
async function zipped(
  changes: Readonly<Record<string, Uint8Array | undefined>>,
  compress = false,
): Promise<string> {
  const good = specs.map(({ name, shape }) => [`${name}.npy`, plain(shape)] as const);
  const members = [...new Map([...good, ...Object.entries(changes)])].flatMap(([name, bytes]) =>
    bytes === undefined ? [] : [{ name, parts: [bytes] }],
  );
  const path = await written(storedZip(members));
  if (compress) python(deflate, path);
  return path;
}

/** Writes the file again with its members compressed, as `numpy.savez_compressed` does. */
const deflate = `
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as z: members = [(i.filename, z.read(i)) for i in z.infolist()]
with zipfile.ZipFile(sys.argv[1], "w", zipfile.ZIP_DEFLATED) as z:
    for name, data in members: z.writestr(name, data)
`;

function python(script: string, path: string): string {
  return execFileSync("python3", ["-c", script, path], { encoding: "utf8" }).trim();
}

async function refusal(path: string, options = exact): Promise<string> {
  const error: unknown = await readNpz(path, specs, options).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  return error instanceof Error ? error.message : "";
}

test("weights are read back to the last bit", async () => {
  const path = await written(npzChunks(specs, parameters));
  const read = await readNpz(path, specs, exact);
  expect(read).toEqual({ parameters, headClasses: 4, headLoaded: true });
});

test("every tensor of a real model goes through, under its npz name", async () => {
  const own = tensors(architecture("1-1-1-1x0.5"), 5);
  const last = own.at(-1);
  const flat = Float32Array.from({ length: (last?.offset ?? 0) + (last?.size ?? 0) }, (_, i) =>
    Math.sin(i),
  );
  const path = await written(npzChunks(own, flat));
  const read = await readNpz(path, own, exact);
  expect(Buffer.from(read.parameters.buffer).equals(Buffer.from(flat.buffer))).toBe(true);
});

test("the same parameters give the same file, in any time zone", () => {
  const bytes = Buffer.concat([...npzChunks(specs, parameters)]);
  const before = process.env["TZ"];
  process.env["TZ"] = "Pacific/Kiritimati";
  const again = Buffer.concat([...npzChunks(specs, parameters)]);
  if (before === undefined) delete process.env["TZ"];
  else process.env["TZ"] = before;
  expect(again.equals(bytes)).toBe(true);
});

test("an array's header is NumPy's, byte for byte", () => {
  // What numpy.lib.format.write_array_header_1_0 writes for these shapes.
  const one = npyHeader([4]);
  expect(one.length).toBe(128);
  expect(Buffer.from(one.subarray(0, 10)).toString("hex")).toBe("934e554d505901007600");
  expect(new TextDecoder("latin1").decode(one.subarray(10)).trimEnd()).toBe(
    "{'descr': '<f4', 'fortran_order': False, 'shape': (4,), }",
  );
  expect(one.at(-1)).toBe(0x0a);
  expect(new TextDecoder("latin1").decode(npyHeader([7, 7, 3, 64]))).toContain("(7, 7, 3, 64), }");
});

test("Python's zipfile finds every member whole, with names, dates and bytes as meant", async () => {
  const path = await written(npzChunks(specs, parameters));
  const script =
    "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nprint(z.testzip())\n" +
    "for i in z.infolist(): print(i.filename, i.date_time, i.compress_type, z.read(i)[-4:].hex())";
  const hex = (value: number): string => floats([value]).toString("hex");
  expect(python(script, path).split("\n")).toEqual([
    "None",
    `resnet/block1/unit01/a/kernel.npy (1980, 1, 1, 0, 0, 0) 0 ${hex(-5.5)}`,
    `${bias}.npy (1980, 1, 1, 0, 0, 0) 0 ${hex(-1.5)}`,
    `${kernel}.npy (1980, 1, 1, 0, 0, 0) 0 ${hex(10.5)}`,
  ]);
});

test.each([0, 60, 200, 500])(
  "zip64 fields from %i bytes on are understood by Python and by our reader",
  async (limit) => {
    const members = specs.map(({ name, shape, offset, size }) => ({
      name: `${name}.npy`,
      parts: [npyHeader(shape), floats([...parameters.subarray(offset, offset + size)])],
    }));
    const path = await written(storedZip(members, limit));
    expect((await readNpz(path, specs, exact)).parameters).toEqual(parameters);
    const script = "import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).testzip())";
    expect(python(script, path)).toBe("None");
    // What reaches the limit has no place in the old fields: there it would be cut to 32 bits.
    const old = oldFields(await readFile(path));
    expect(old).toHaveLength(specs.length * 3 + 2);
    expect(old.every((value) => value < limit || value === 0xffffffff)).toBe(true);
    expect(old.includes(0xffffffff)).toBe(true);
  },
);

/** Sizes and offsets that the directory and its end hold in 32 bits. */
function oldFields(bytes: Buffer): readonly number[] {
  const fields: number[] = [];
  const record = Buffer.from([0x50, 0x4b, 1, 2]);
  for (let at = bytes.indexOf(record); at >= 0; at = bytes.indexOf(record, at + 1)) {
    fields.push(...[20, 24, 42].map((field) => bytes.readUInt32LE(at + field)));
  }
  const end = bytes.length - 22;
  return [...fields, bytes.readUInt32LE(end + 12), bytes.readUInt32LE(end + 16)];
}

test("compressed files, as others publish them, are read", async () => {
  const { parameters: read } = await readNpz(await zipped({}, true), specs, exact);
  expect([...read.subarray(0, 10)]).toEqual([0, 1, 2, 3, 4, 5, 0, 1, 2, 3]);
});

test("a head of other classes is left out for transfer, and refused otherwise", async () => {
  const path = await zipped({
    [`${kernel}.npy`]: plain([1, 1, 3, 21_843]),
    [`${bias}.npy`]: plain([21_843]),
  });
  const { parameters: read, ...head } = await readNpz(path, specs, transfer);
  expect(head).toEqual({ headClasses: 21_843, headLoaded: false });
  expect([...read.subarray(0, 6)]).toEqual([0, 1, 2, 3, 4, 5]);
  expect(read.subarray(6).every((value) => value === 0)).toBe(true);
  expect(await refusal(path)).toBe(
    `the weights ${path} cannot be used: the tensor ${bias} has 87500 bytes, more than (4) has`,
  );
});

test("a smaller head is told by its shape", async () => {
  const path = await zipped({
    [`${bias}.npy`]: plain([3]),
    [`${kernel}.npy`]: plain([1, 1, 3, 3]),
  });
  expect(await refusal(path)).toBe(
    `the weights ${path} cannot be used: the tensor ${bias} has shape (3) where (4) is wanted`,
  );
  expect((await readNpz(path, specs, transfer)).headClasses).toBe(3);
});

test("half a head never stays", async () => {
  const path = await zipped({ [`${kernel}.npy`]: plain([1, 1, 3, 3]) });
  const { parameters: read, headLoaded } = await readNpz(path, specs, transfer);
  expect(headLoaded).toBe(false);
  expect(read.subarray(6).every((value) => value === 0)).toBe(true);
});

test("a head of another width is no head of other classes", async () => {
  const path = await zipped({ [`${kernel}.npy`]: plain([1, 1, 2, 5]) });
  expect(await refusal(path, transfer)).toContain(
    `${kernel} has shape (1, 1, 2, 5) where (1, 1, 3`,
  );
});

const first = "resnet/block1/unit01/a/kernel";
const described = (descr: string, shape = "(1, 1, 2, 3)"): string =>
  `{'descr': ${descr}, 'fortran_order': False, 'shape': ${shape}, }`;
const six = floats([1, 2, 3, 4, 5, 6]);

test.each([
  ["another shape", plain([1, 1, 3, 2]), "has shape (1, 1, 3, 2) where (1, 1, 2, 3) is wanted"],
  [
    "Python objects",
    npy(described("'|O'"), six),
    "holds Python objects (dtype |O), which are never",
  ],
  ["fields", npy(described("[('a', '<f4')]"), six), "has no plain dtype"],
  [
    "whole numbers",
    npy(described("'<i4'"), six),
    "has dtype <i4, only float16, float32 and float64",
  ],
  ["float128", npy(described("'<f16'"), six), "has dtype <f16, only float16, float32 and float64"],
  ["bytes", npy(described("'|f4'"), six), "has dtype |f4, only float16, float32 and float64"],
  ["too few float64", npy(described("'<f8'"), six), "does not have as many bytes as its"],
  ["too many float16", npy(described("'<f2'"), six), "does not have as many bytes as its"],
  [
    "a number beyond float32",
    npy(described("'<f8'"), Buffer.from(Float64Array.of(1, 2, 1e300, 4, 5, 6).buffer)),
    "has Infinity at 2",
  ],
  ["an expression", npy(described("'<f4'", "(1, 1, 2, 1+2)"), six), "that NumPy does not write"],
  ["a negative extent", npy(described("'<f4'", "(1, 1, 2, -3)"), six), "that NumPy does not write"],
  ["another key", npy(described("'<f4'").replace("{", "{'x': 1, "), six), "NumPy does not write"],
  ["too few bytes", npy(described("'<f4'"), six.subarray(1)), "does not have as many bytes as its"],
  [
    "too many bytes",
    npy(described("'<f4'"), Buffer.concat([six, six])),
    "does not have as many bytes",
  ],
  ["no array", Buffer.from("<html>not found</html>"), "is not a NumPy array"],
  ["three bytes", Buffer.from("abc"), "is not a NumPy array"],
  ["half a header", npy(described("'<f4'"), six).subarray(0, 40), "ends inside its header"],
  [
    "a version of the future",
    Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 4, 0, 0, 0]),
    "has version 4 of the npy format, only 1 is read",
  ],
  [
    "a header without end",
    npy(described("'<f4'") + " ".repeat(11_000), new Uint8Array(0)),
    `bytes, more than`,
  ],
  [
    "a number that is not finite",
    Buffer.concat([npyHeader([1, 1, 2, 3]), floats([1, NaN, 3, 4, 5, 6])]),
    "has NaN at 1",
  ],
])("a tensor with %s is refused by its name", async (_, bytes, reason) => {
  const path = await zipped({ [`${first}.npy`]: bytes });
  const message = await refusal(path);
  expect(message).toContain(`the weights ${path} cannot be used: the tensor ${first} `);
  expect(message).toContain(reason);
});

test("every float16 is the number that it is, down to the smallest", async () => {
  const bits = [0x0001, 0x03ff, 0x0400, 0x3555, 0x7bff, 0x8001];
  const data = Buffer.from(Uint16Array.from(bits).buffer);
  const path = await zipped({ [`${first}.npy`]: npy(described("'<f2'"), data) });
  const { parameters: read } = await readNpz(path, specs, exact);
  const wanted = [2 ** -24, 1023 * 2 ** -24, 2 ** -14, 0.333251953125, 65504, -(2 ** -24)];
  expect([...read.subarray(0, 6)]).toEqual(wanted);
  const infinite = Buffer.from(Uint16Array.of(0, 0x7c00, 0, 0, 0, 0x7e00).buffer);
  const bad = await zipped({ [`${first}.npy`]: npy(described("'<f2'"), infinite) });
  expect(await refusal(bad)).toContain("has Infinity at 1");
});

test("Python objects are refused in a compressed file as well", async () => {
  const path = await zipped({ [`${first}.npy`]: npy(described("'|O'"), six) }, true);
  expect(await refusal(path)).toContain(`${first} holds Python objects (dtype |O)`);
});

test("a member that inflates to a thousand times its size is refused without memory", async () => {
  const path = await zipped({ [`${first}.npy`]: Buffer.alloc(200_000_000) }, true);
  const before = process.resourceUsage().maxRSS;
  expect(await refusal(path)).toContain(`${first} has 200000000 bytes, more than (1, 1, 2, 3) has`);
  expect(process.resourceUsage().maxRSS - before).toBeLessThan(50_000);
});

test("a member that lies about its size is refused", async () => {
  const path = await zipped({ [`${first}.npy`]: Buffer.alloc(1_000_000) }, true);
  const bytes = await readFile(path);
  // The uncompressed size stands in the central directory, which is the last copy of it.
  const at = bytes.lastIndexOf(Buffer.from([0x40, 0x42, 0x0f, 0x00]));
  bytes.writeUInt32LE(152, at);
  await writeFile(path, bytes);
  expect(await refusal(path)).toContain("cannot be used: ");
});

test("missing and foreign tensors are refused by name", async () => {
  expect(await refusal(await zipped({ [`${first}.npy`]: undefined }))).toContain(
    `they lack the tensor ${first}`,
  );
  const extra = { "resnet/block1/unit02/a/kernel.npy": plain([1]), "readme.txt": Buffer.from("x") };
  expect(await refusal(await zipped(extra))).toContain(
    "they have resnet/block1/unit02/a/kernel.npy and 1 more, which the model does not have",
  );
});

test("a member that is there twice is refused", async () => {
  const member = { name: `${first}.npy`, parts: [plain([1, 1, 2, 3])] };
  const path = await written(storedZip([member, member]));
  expect(await refusal(path)).toContain(`it has ${first}.npy twice`);
});

test.each(["../evil.npy", "/etc/evil.npy", "a\\..\\evil.npy", "C:/evil.npy"])(
  "the member name %s is refused",
  async (name) => {
    const path = await written(storedZip([{ name, parts: [plain([1])] }]));
    expect(await refusal(path)).toContain("has a member whose name leads out of it");
  },
);

test("an encrypted member and an unknown compression are refused", async () => {
  const good = Buffer.concat([...npzChunks(specs, parameters)]);
  const directory = good.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
  const changed = async (flags: number, method: number): Promise<string> => {
    const bytes = Buffer.from(good);
    bytes.writeUInt16LE(flags, directory + 8);
    bytes.writeUInt16LE(method, directory + 10);
    return refusal(await written([bytes]));
  };
  expect(await changed(1, 8)).toContain(`${first}.npy is encrypted`);
  expect(await changed(0, 12)).toContain(`${first}.npy has compression method 12`);
});

test("more members than any model has are refused before they are listed", async () => {
  const members = Array.from({ length: 10_001 }, (_, i) => ({ name: String(i), parts: [] }));
  expect(await refusal(await written(storedZip(members)))).toContain(
    "10001 members are over 10000",
  );
});

test("a missing file and a file that is no zip are refused by their path", async () => {
  expect(await refusal("/no/such.npz")).toBe(
    "/no/such.npz does not exist on the workers: the path of weights is a path on the workers",
  );
  const path = await written([Buffer.from("a text of some length, which is not a zip file")]);
  expect(await refusal(path)).toBe(
    `${path} is not a readable npz file: it is no zip archive, or not a whole one`,
  );
});

test("a file cut off anywhere is refused", async () => {
  const path = await written(npzChunks(specs, parameters));
  const { length } = await readFile(path);
  for (let end = length - 1; end > 0; end -= 7) {
    await truncate(path, end);
    expect(await refusal(path)).toContain(path);
  }
});

test("a flipped bit in a tensor's bytes is noticed", async () => {
  const bytes = Buffer.concat([...npzChunks(specs, parameters)]);
  const data = bytes.indexOf(floats([parameters[0] ?? 0, parameters[1] ?? 0]));
  for (let i = data; i < data + 24; i++) {
    const flipped = Buffer.from(bytes);
    flipped[i] = (flipped[i] ?? 0) ^ 1;
    expect(await refusal(await written([flipped]))).toContain(`${first}.npy fails its checksum`);
  }
});
