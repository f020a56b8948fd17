import { describe, expect, test } from "vitest";
import type { DataFrame, Frame, RequestFrame } from "../../src/exchange/content.js";
import { WireError } from "../../src/job/problem.js";
import { chunkElementsOf, decodeFrame, encodeFrame, headBytesMax } from "../../src/wire/frame.js";

const request: RequestFrame = {
  kind: "request",
  job: "digits",
  attempt: 1,
  step: 70_000,
  trial: 3,
  from: "w1-4f",
  content: { kind: "node", first: 4, end: 6 },
  offset: 2048,
  length: 1024,
};
// A subnormal, -0, a NaN with a payload, infinity and 1: bits that arithmetic might change.
const patterns = Uint32Array.of(1, 0x8000_0000, 0x7fa1_2345, 0x7f80_0000, 0x3f80_0000);
const data: DataFrame = {
  ...request,
  kind: "data",
  content: { kind: "sum" },
  offset: 4_000_000_000,
  length: patterns.length,
  bytes: new Uint8Array(patterns.buffer),
};

function plain(frame: Frame): unknown {
  return frame.kind === "data" ? { ...frame, bytes: [...frame.bytes] } : frame;
}

describe("a frame as bytes", () => {
  test.each<Frame>([
    request,
    { ...request, content: { kind: "state" }, attempt: 0xffff_ffff, offset: 0xffff_ffff },
    data,
    { ...data, content: { kind: "node", first: 0, end: 1 } },
  ])("comes back as it was", (frame) => {
    expect(plain(decodeFrame(encodeFrame(frame)))).toEqual(plain(frame));
  });

  test("is these bytes, whoever reads them", () => {
    expect(Buffer.from(encodeFrame(request)).toString("hex")).toBe(
      "424658010000060501000000701101000300000004000000060000000008000000040000" +
        "416dcf95" +
        "64696769747377312d3466",
    );
  });

  test("is written into the memory given when there is room, and is a copy", () => {
    const memory = new Uint8Array(300);
    const encoded = encodeFrame(data, memory);
    expect(encoded.buffer).toBe(memory.buffer);
    expect(plain(decodeFrame(encoded))).toEqual(plain(data));
    expect(encodeFrame(data, new Uint8Array(10)).length).toBe(encoded.length);
  });

  test("is read at any alignment", () => {
    const encoded = encodeFrame(data);
    const shifted = new Uint8Array(encoded.length + 3);
    shifted.set(encoded, 3);
    expect(plain(decodeFrame(shifted.subarray(3)))).toEqual(plain(data));
  });

  test("is refused when any one byte is changed, lost or added", () => {
    const encoded = encodeFrame(data);
    for (let i = 0; i < encoded.length; i += 1) {
      const damaged = encoded.slice();
      damaged[i] = (damaged[i] ?? 0) ^ 0x10;
      expect(() => decodeFrame(damaged), `byte ${i}`).toThrow(WireError);
      expect(() => decodeFrame(encoded.subarray(0, i)), `${i} bytes`).toThrow(WireError);
    }
    expect(() => decodeFrame(new Uint8Array([...encoded, 0]))).toThrow(WireError);
  });

  test.each<readonly [string, Frame]>([
    ["no elements", { ...request, length: 0 }],
    ["shards 6-4", { ...request, content: { kind: "node", first: 6, end: 4 } }],
    ['job "Digits"', { ...request, job: "Digits" }],
    ['job ""', { ...request, job: "" }],
    ['address "a.b"', { ...request, from: "a.b" }],
    ['address "*"', { ...request, from: "*" }],
    ["20 bytes for 4 elements", { ...data, length: 4 }],
  ])("with %s is refused although its checksum is right", (reason, frame) => {
    expect(() => decodeFrame(encodeFrame(frame))).toThrow(reason);
  });

  test("leaves room for any head below the server's limit, in whole units of 1024", () => {
    expect(chunkElementsOf(1_048_576)).toBe(255 * 1024);
    expect(chunkElementsOf(65_536)).toBe(15 * 1024);
    expect(chunkElementsOf(4096 + headBytesMax)).toBe(1024);
    expect(chunkElementsOf(4095 + headBytesMax)).toBe(0);
    const name = "a".repeat(63);
    const elements = chunkElementsOf(65_536);
    const bytes = new Uint8Array(4 * elements);
    const largest = encodeFrame({ ...data, job: name, from: name, length: elements, bytes });
    expect(largest.length).toBeLessThanOrEqual(65_536);
  });
});
