import { expect, test } from "vitest";
import { FailureError } from "../../src/job/problem.js";
import {
  readSafetensors,
  safetensorsChunks,
  type NamedTensor,
} from "../../src/store/safetensors.js";

const tensors: readonly NamedTensor[] = [
  { name: "b", shape: [2, 3], values: Float32Array.from([1, 2, 3, 4, 5, 6]) },
  { name: "a/kernel", shape: [1], values: Float32Array.from([-0.5]) },
  { name: "a/empty", shape: [0], values: new Float32Array(0) },
  { name: "scalar", shape: [], values: Float32Array.from([7]) },
];

const encode = (list: readonly NamedTensor[]): Buffer =>
  Buffer.concat([...safetensorsChunks(list)]);

function emptied(): readonly NamedTensor[] {
  return tensors.map((tensor) => ({ ...tensor, values: tensor.values.slice().fill(0) }));
}

test("the bytes are those of the format, with sorted names and data on a multiple of 8", () => {
  const bytes = encode(tensors);
  const length = Number(bytes.readBigUInt64LE(0));
  expect(length % 8).toBe(0);
  expect(
    bytes
      .subarray(8, 8 + length)
      .toString()
      .trimEnd(),
  ).toBe(
    '{"a/empty":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},' +
      '"a/kernel":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
      '"b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},' +
      '"scalar":{"dtype":"F32","shape":[],"data_offsets":[28,32]}}',
  );
  expect(bytes.length).toBe(8 + length + 32);
  expect(bytes.readFloatLE(8 + length)).toBe(-0.5);
  expect(bytes.readFloatLE(8 + length + 4 + 8)).toBe(3);
});

test("the order in which tensors come does not change a byte", () => {
  expect(encode(tensors.toReversed()).equals(encode(tensors))).toBe(true);
});

test.each([1, 3, 7, 1000])(
  "what was written is read back from chunks of %i bytes",
  async (size) => {
    const bytes = encode(tensors);
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.subarray(i * size, (i + 1) * size),
    );
    const into = emptied();
    await readSafetensors(chunks, into, "file");
    expect(into).toEqual(tensors);
  },
);

test("every truncation and every added byte is refused by the file's name", async () => {
  const bytes = encode(tensors);
  for (let length = 0; length < bytes.length; length++) {
    const reading = readSafetensors([bytes.subarray(0, length)], emptied(), "my-file");
    await expect(reading).rejects.toBeInstanceOf(FailureError);
    await expect(reading).rejects.toThrow("my-file cannot be used: it ends inside");
  }
  const longer = readSafetensors([bytes, Buffer.from([0])], emptied(), "my-file");
  await expect(longer).rejects.toThrow("my-file cannot be used: it goes on after its last tensor");
});

function fileOf(header: string, dataBytes: number): Buffer {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([prefix, Buffer.from(header), Buffer.alloc(dataBytes)]);
}

const one: readonly NamedTensor[] = [{ name: "w", shape: [2], values: new Float32Array(2) }];
const entry = '"dtype":"F32","shape":[2],"data_offsets":[0,8]';

test("a header with metadata and in another order of fields is read", async () => {
  const header = '{"__metadata__":{"by":"x"},"w":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}}';
  await readSafetensors([fileOf(header, 8)], one, "file");
});

test.each([
  ["a header that is not JSON", "{w}", "its header is not JSON"],
  ["a header that is a list", "[]", "its header is no object"],
  ["another dtype", `{"w":{${entry.replace("F32", "F16")}}}`, '"w" has dtype "F16", not F32'],
  ["no dtype", '{"w":{"shape":[2],"data_offsets":[0,8]}}', '"w" has dtype undefined, not F32'],
  ["a tensor that is null", '{"w":null}', '"w" has dtype undefined'],
  ["another shape", `{"w":{${entry.replace("[2]", "[1,2]")}}}`, '"w" has shape (1, 2), not (2)'],
  ["a negative extent", `{"w":{${entry.replace("[2]", "[-2]")}}}`, '"w" has no usable shape'],
  ["half an extent", `{"w":{${entry.replace("[2]", "[2.5]")}}}`, '"w" has no usable shape'],
  ["a shape of text", `{"w":{${entry.replace("[2]", '["2"]')}}}`, '"w" has no usable shape'],
  ["three offsets", `{"w":{${entry.replace("0,8", "0,8,8")}}}`, '"w" has no offsets'],
  ["offsets that do not fit", `{"w":{${entry.replace("0,8", "0,4")}}}`, '"w" has 4 bytes for 8'],
  ["offsets that go back", `{"w":{${entry.replace("0,8", "8,0")}}}`, '"w" has -8 bytes for 8'],
  ["a gap", `{"w":{${entry.replace("0,8", "4,12")}}}`, '"w" begins at 4, not at 0'],
  ["an overlap", `{"w":{${entry}},"v":{${entry}}}`, "begins at 0, not at 8"],
  ["another name", `{"v":{${entry}}}`, 'it has a tensor "v" that does not belong'],
  ["__proto__ for a name", `{"__proto__":{${entry}}}`, 'it has a tensor "__proto__" that does not'],
  ["nothing in it", "{}", 'it lacks the tensor "w"'],
])("a file with %s is refused", async (_, header, reason) => {
  const reading = readSafetensors([fileOf(header, 12)], one, "my-file");
  await expect(reading).rejects.toBeInstanceOf(FailureError);
  await expect(reading).rejects.toThrow(`my-file cannot be used: `);
  await expect(reading).rejects.toThrow(reason);
});

test("a header beyond the bound is refused before it is read", async () => {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(2n ** 60n);
  await expect(readSafetensors([prefix], one, "f")).rejects.toThrow("is over 10000000");
});

test("the stream is closed when a file is refused half way", async () => {
  let closed = false;
  const source = async function* (): AsyncIterable<Uint8Array> {
    try {
      yield fileOf('{"w":{}}', 0);
      yield Buffer.alloc(8);
    } finally {
      closed = true;
    }
  };
  await expect(readSafetensors(source(), one, "f")).rejects.toThrow("dtype");
  expect(closed).toBe(true);
});
