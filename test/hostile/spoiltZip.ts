import { crc32, deflateRawSync } from "node:zlib";
import type { Random } from "../../src/plan/random.js";
import { chance, pick } from "./mutate.js";

export interface Member {
  readonly name: string;
  readonly data: Uint8Array;
}

/** A zip archive of the members, at times with one field of one of its headers wrong. */
export function spoiltZip(random: Random, members: readonly Member[]): Buffer {
  const wrongAt = chance(random, 0.5) ? random.below(Math.max(1, members.length)) : -1;
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [i, { name, data }] of members.entries()) {
    const method = pick(random, [0, 8]);
    const packed = method === 8 ? deflateRawSync(data) : Buffer.from(data);
    const head = header(Buffer.from(name), method, packed, data);
    if (i === wrongAt) spoil(random, head);
    const local = Buffer.concat([u32(0x04034b50), head.subarray(0, 26), Buffer.from(name)]);
    directory.push(central(head, offset, Buffer.from(name)));
    parts.push(local, packed);
    offset += local.length + packed.length;
  }
  const all = Buffer.concat(directory);
  const count = chance(random, 0.05) ? pick(random, [0, 1, 20_000, 65_535]) : members.length;
  const end = Buffer.concat([u32(0x06054b50), u16(0), u16(0), u16(count), u16(count)]);
  return Buffer.concat([...parts, all, end, u32(all.length), u32(offset), u16(0)]);
}

/** What follows the signature of a local header: version, flags, method, time, date, checksum, sizes, lengths. */
function header(name: Buffer, method: number, packed: Uint8Array, data: Uint8Array): Buffer {
  return Buffer.concat([
    ...[u16(20), u16(0x800), u16(method), u16(0), u16(33), u32(crc32(data))],
    ...[u32(packed.length), u32(data.length), u16(name.length), u16(0)],
  ]);
}

function spoil(random: Random, head: Buffer): void {
  switch (random.below(5)) {
    case 0:
      head.writeUInt16LE(pick(random, [0x801, 0x41, 0x8, 0]), 2); // flags: encrypted, sizes behind
      return;
    case 1:
      head.writeUInt16LE(pick(random, [0, 8, 9, 12, 99]), 4);
      return;
    case 2:
      head.writeUInt32LE(random.uint32(), 10);
      return;
    default: {
      const at = pick(random, [14, 18]);
      const size = head.readUInt32LE(at);
      head.writeUInt32LE(
        pick(random, [0, size + 1, Math.max(0, size - 1), 0xffffffff, 2 ** 31]),
        at,
      );
    }
  }
}

function central(head: Buffer, offset: number, name: Buffer): Buffer {
  return Buffer.concat([
    ...[
      u32(0x02014b50),
      u16(45),
      head.subarray(0, 26),
      u16(0),
      u16(0),
      u16(0),
      u32(0),
      u32(offset),
    ],
    name,
  ]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value >>> 0);
  return bytes;
}
