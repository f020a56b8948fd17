import type { Random } from "../../src/plan/random.js";

/** Spoils bytes in the ways that parsers stumble over: bits, numbers, lengths, order, repetition, foreign parts. */

const bytesMax = 128 * 1024;
const numbers = [
  0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
];
const words = [
  ...[
    "__proto__",
    "constructor",
    "prototype",
    "../../../../etc/passwd",
    "/etc/passwd",
    "\0",
    "%00",
  ],
  ...[
    "\u001b[2J\u001b]0;owned\u0007",
    "\u009b31m",
    "\u202egnp.exe",
    "'; DROP TABLE jobs; --",
    ">",
    "*",
  ],
  ...["bitfleet.x.>", "$KV.jobs.>", "-0", "1e999", "NaN", "\ud800", "\r\n\r\n", "a".repeat(300)],
] as const;

export function pick<T>(random: Random, values: readonly T[]): T {
  const value = values[random.below(values.length)];
  if (value === undefined) throw new Error("nothing to pick from");
  return value;
}

export function chance(random: Random, probability: number): boolean {
  return random.float() < probability;
}

/** A text that somebody might send in place of a name. */
export function word(random: Random): string {
  return pick(random, words);
}

export function number(random: Random): number {
  const value = pick(random, numbers);
  return pick(random, [
    value,
    value,
    value + 1,
    -value,
    value / 2,
    random.uint32(),
    2 ** 53 * 2,
    Infinity,
    NaN,
  ]);
}

/** What fits into 32 bits of it. */
export function uint32(value: number): number {
  return Number.isFinite(value) ? Math.floor(Math.abs(value)) % 2 ** 32 : 2 ** 32 - 1;
}

/** One to four changes; `other` is a valid input to take parts from. */
export function mutate(random: Random, bytes: Uint8Array, other: Uint8Array = bytes): Buffer {
  let spoilt = Buffer.from(bytes);
  const changes = 1 + random.below(4);
  for (let i = 0; i < changes; i++) spoilt = change(random, spoilt, other);
  return spoilt.subarray(0, bytesMax);
}

function change(
  random: Random,
  bytes: Buffer<ArrayBuffer>,
  other: Uint8Array,
): Buffer<ArrayBuffer> {
  if (bytes.length === 0) return Buffer.from(pick(random, [word(random), "\0"]));
  const at = random.below(bytes.length);
  const length = 1 + random.below(Math.min(bytes.length - at, pick(random, [4, 16, 4096])));
  const part = bytes.subarray(at, at + length);
  switch (random.below(10)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + length)]);
    case 2: {
      const times = 1 + random.below(Math.max(1, Math.min(200, Math.floor(bytesMax / length))));
      return insert(bytes, at, Buffer.concat(Array.from({ length: times }, () => part)));
    }
    case 3:
      return insert(bytes, at, Buffer.from(word(random)));
    case 4: {
      const from = random.below(Math.max(1, other.length));
      return Buffer.concat([bytes.subarray(0, at), other.subarray(from)]);
    }
    case 5:
      part.fill(pick(random, [0, 0xff, 0x20]));
      return bytes;
    case 6:
    case 7:
      return setNumber(random, bytes, at);
    default:
      for (let i = 1 + random.below(3); i > 0; i--) flip(bytes, random.below(8 * bytes.length));
      return bytes;
  }
}

function insert(bytes: Buffer, at: number, part: Uint8Array): Buffer<ArrayBuffer> {
  return Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)]);
}

function flip(bytes: Buffer, bit: number): void {
  const at = bit >> 3;
  bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
}

/** A number that is a bound of something, in any width and either order of bytes. */
function setNumber(random: Random, bytes: Buffer<ArrayBuffer>, at: number): Buffer<ArrayBuffer> {
  const value = pick(random, [...numbers, random.uint32()]);
  const width = pick(
    random,
    [1, 2, 4, 8].filter((bytesWide) => at + bytesWide <= bytes.length),
  );
  const field = Buffer.alloc(8);
  const low = width === 8 ? BigInt(value) * pick(random, [1n, 0x100000001n]) : BigInt(value);
  field.writeBigUInt64LE(BigInt.asUintN(64, low));
  const written = field.subarray(0, width);
  bytes.set(chance(random, 0.5) ? written : written.toReversed(), at);
  return bytes;
}
