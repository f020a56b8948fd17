import { crc32 } from "node:zlib";
import { endianness } from "node:os";
import type { Content, Frame } from "../exchange/content.js";
import { unitElementsDefault } from "../exchange/units.js";
import { assert, WireError } from "../job/problem.js";

/**
 * The bytes of an exchange frame: a prefix of fixed size, the job, the sender's address, and for
 * data the values as they lie in memory. All numbers are little-endian.
 *
 *     0 "BFX" and version    4 kind    5 content    6 job length   7 address length
 *     8 attempt   12 step   16 trial        20 first   24 end   28 offset   32 length
 *    36 CRC-32 of all other bytes
 */
const prefixBytes = 40;
const checksumOffset = 36;
const magic = 0x01_58_46_42;
const nameBytesMax = 63;

const kinds = ["request", "data"] as const;
const contents = ["node", "sum", "state"] as const;

/** The most that a frame has besides its values. */
export const headBytesMax = prefixBytes + 2 * nameBytesMax;

// Values go over the wire as they lie in memory.
assert(endianness() === "LE", "Bitfleet runs on little-endian machines only");

/** How many elements a message of `frameBytesMax` bytes carries, in whole units. */
export function chunkElementsOf(frameBytesMax: number): number {
  const elements = Math.floor((frameBytesMax - headBytesMax) / 4);
  return Math.floor(elements / unitElementsDefault) * unitElementsDefault;
}

/**
 * The frame's bytes, at the beginning of `into` if that is large enough, else in new memory. They
 * are a copy: the frame's values may change afterwards.
 */
export function encodeFrame(frame: Frame, into?: Uint8Array): Uint8Array {
  const { job, from, content } = frame;
  const isNode = content.kind === "node";
  const values = frame.kind === "data" ? frame.bytes : undefined;
  const headBytes = prefixBytes + job.length + from.length;
  const bytes = headBytes + (values?.length ?? 0);
  const buffer =
    into !== undefined && into.length >= bytes
      ? Buffer.from(into.buffer, into.byteOffset, bytes)
      : Buffer.allocUnsafe(bytes);
  buffer.writeUInt32LE(magic, 0);
  buffer.writeUInt8(kinds.indexOf(frame.kind), 4);
  buffer.writeUInt8(contents.indexOf(content.kind), 5);
  buffer.writeUInt8(job.length, 6);
  buffer.writeUInt8(from.length, 7);
  const numbers = [
    frame.attempt,
    frame.step,
    frame.trial,
    isNode ? content.first : 0,
    isNode ? content.end : 0,
    frame.offset,
    frame.length,
  ];
  numbers.forEach((value, i) => buffer.writeUInt32LE(value, 8 + 4 * i));
  buffer.write(job + from, prefixBytes, "latin1");
  if (values !== undefined) buffer.set(values, headBytes);
  buffer.writeUInt32LE(checksum(buffer), checksumOffset);
  return buffer;
}

/** Throws a WireError on anything that `encodeFrame` could not have made. */
export function decodeFrame(bytes: Uint8Array): Frame {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  check(buffer.length >= prefixBytes, `a frame of ${buffer.length} bytes`);
  check(buffer.readUInt32LE(0) === magic, "a frame of another kind or version");
  check(buffer.readUInt32LE(checksumOffset) === checksum(buffer), "a frame with a wrong checksum");
  const kind = kinds[buffer.readUInt8(4)];
  const [attempt, step, trial, first, end, offset, length] = [8, 12, 16, 20, 24, 28, 32].map((at) =>
    buffer.readUInt32LE(at),
  );
  const jobEnd = prefixBytes + buffer.readUInt8(6);
  const headBytes = jobEnd + buffer.readUInt8(7);
  const job = buffer.toString("latin1", prefixBytes, jobEnd);
  const from = buffer.toString("latin1", jobEnd, headBytes);
  check(/^[a-z0-9-]{1,63}$/.test(job), `job ${JSON.stringify(job)} in a frame`);
  check(isAddress(from), `address ${JSON.stringify(from)} in a frame`);
  const content = contentOf(buffer.readUInt8(5), first ?? 0, end ?? 0);
  const head = {
    job,
    attempt: attempt ?? 0,
    step: step ?? 0,
    trial: trial ?? 0,
    from,
    content,
    offset: offset ?? 0,
    length: length ?? 0,
  };
  const valueBytes = buffer.length - headBytes;
  check(head.length > 0, "a frame of no elements");
  if (kind === "data") {
    check(valueBytes === 4 * head.length, `${valueBytes} bytes for ${head.length} elements`);
    return { kind, ...head, bytes: buffer.subarray(headBytes) };
  }
  check(kind === "request" && valueBytes === 0, `a request with ${valueBytes} bytes of values`);
  return { kind: "request", ...head };
}

/** Whether the text can be the last token of a NATS subject and part of a frame. */
export function isAddress(text: string): boolean {
  return /^[A-Za-z0-9-]{1,63}$/.test(text);
}

function contentOf(kind: number, first: number, end: number): Content {
  const name = contents[kind];
  check(name !== undefined, `content ${kind} in a frame`);
  if (name === "node") {
    check(first < end, `shards ${first}-${end} in a frame`);
    return { kind: name, first, end };
  }
  check(first === 0 && end === 0, `shards ${first}-${end} of ${name} in a frame`);
  return { kind: name };
}

function checksum(buffer: Buffer): number {
  const before = crc32(buffer.subarray(0, checksumOffset));
  return crc32(buffer.subarray(checksumOffset + 4), before);
}

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new WireError(message);
}
