import { crc32 } from "node:zlib";
import { pieces } from "./float32Bytes.js";

/**
 * Writes zip files whose members are stored as they are, all dated 1 January 1980, so that equal
 * members give equal files. Sizes and checksums stand before the data, and where a number does not fit
 * into 32 bits the zip64 fields hold it (PKWARE's APPNOTE 6.3, sections 4.3 and 4.5).
 */

export interface ZipMember {
  readonly name: string;
  /** The contents, one part after the other. */
  readonly parts: readonly Uint8Array[];
}

const dosDate = (1 << 5) | 1;
const full32 = 0xffffffff;
const full16 = 0xffff;

interface Written {
  readonly name: Uint8Array;
  readonly checksum: number;
  readonly bytes: number;
  readonly offset: number;
}

/** `limit`: numbers from here on go into zip64 fields. The tests lower it. */
export function* storedZip(members: Iterable<ZipMember>, limit = full32): Iterable<Uint8Array> {
  const directory: Written[] = [];
  let offset = 0;
  for (const { name, parts } of members) {
    const member = {
      name: new TextEncoder().encode(name),
      checksum: checksumOf(parts),
      bytes: parts.reduce((sum, part) => sum + part.length, 0),
      offset,
    };
    const header = localHeader(member, limit);
    yield header;
    for (const part of parts) yield* pieces(part);
    offset += header.length + member.bytes;
    directory.push(member);
  }
  const start = offset;
  for (const member of directory) {
    const header = centralHeader(member, limit);
    yield header;
    offset += header.length;
  }
  yield endOfDirectory(directory.length, start, offset - start, limit);
}

function checksumOf(parts: readonly Uint8Array[]): number {
  let checksum = 0;
  for (const part of parts) {
    for (const piece of pieces(part)) checksum = crc32(piece, checksum);
  }
  return checksum;
}

function localHeader({ name, checksum, bytes }: Written, limit: number): Uint8Array {
  const large = bytes >= limit;
  const size = large ? full32 : bytes;
  return record((write) => {
    write
      .u32(0x04034b50)
      .u16(large ? 45 : 20)
      .u16(0)
      .u16(0)
      .u16(0)
      .u16(dosDate);
    write.u32(checksum).u32(size).u32(size);
    write
      .u16(name.length)
      .u16(large ? 20 : 0)
      .bytes(name);
    if (large) write.u16(1).u16(16).u64(bytes).u64(bytes);
  });
}

function centralHeader({ name, checksum, bytes, offset }: Written, limit: number): Uint8Array {
  const large = bytes >= limit;
  const far = offset >= limit;
  const size = large ? full32 : bytes;
  const extra = (large ? 16 : 0) + (far ? 8 : 0);
  return record((write) => {
    write
      .u32(0x02014b50)
      .u16(45)
      .u16(extra > 0 ? 45 : 20)
      .u16(0)
      .u16(0)
      .u16(0)
      .u16(dosDate);
    write.u32(checksum).u32(size).u32(size);
    write.u16(name.length).u16(extra > 0 ? extra + 4 : 0);
    write
      .u16(0)
      .u16(0)
      .u16(0)
      .u32(0)
      .u32(far ? full32 : offset)
      .bytes(name);
    if (extra > 0) write.u16(1).u16(extra);
    if (large) write.u64(bytes).u64(bytes);
    if (far) write.u64(offset);
  });
}

function endOfDirectory(count: number, start: number, bytes: number, limit: number): Uint8Array {
  const large = count >= full16 || start >= limit || bytes >= limit;
  const members = large ? full16 : count;
  return record((write) => {
    if (large) {
      write.u32(0x06064b50).u64(44).u16(45).u16(45).u32(0).u32(0);
      write.u64(count).u64(count).u64(bytes).u64(start);
      write
        .u32(0x07064b50)
        .u32(0)
        .u64(start + bytes)
        .u32(1);
    }
    write.u32(0x06054b50).u16(0).u16(0).u16(members).u16(members);
    write
      .u32(large ? full32 : bytes)
      .u32(large ? full32 : start)
      .u16(0);
  });
}

interface RecordWriter {
  u16(value: number): RecordWriter;
  u32(value: number): RecordWriter;
  u64(value: number): RecordWriter;
  bytes(value: Uint8Array): RecordWriter;
}

function record(fill: (write: RecordWriter) => void): Uint8Array {
  const parts: Buffer[] = [];
  const write: RecordWriter = {
    u16: (value) => add(2, (part) => part.writeUInt16LE(value)),
    u32: (value) => add(4, (part) => part.writeUInt32LE(value)),
    u64: (value) => add(8, (part) => part.writeBigUInt64LE(BigInt(value))),
    bytes: (value) => add(value.length, (part) => part.set(value)),
  };
  const add = (bytes: number, set: (part: Buffer) => void): RecordWriter => {
    const part = Buffer.alloc(bytes);
    set(part);
    parts.push(part);
    return write;
  };
  fill(write);
  return Buffer.concat(parts);
}
