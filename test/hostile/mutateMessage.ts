import type { Random } from "../../src/plan/random.js";
import { chance, mutate, pick, word } from "./mutate.js";

/**
 * Protobuf bytes with a field changed, repeated, removed or given another type, at any depth; the
 * lengths around it are made right again, so that what is inside is reached.
 */
export function mutateMessage(
  random: Random,
  bytes: Uint8Array,
  other: Uint8Array = bytes,
): Buffer {
  if (chance(random, 0.2)) return mutate(random, bytes, other);
  const fields = fieldsOf(bytes);
  const found = fieldsOf(other) ?? [];
  if (fields === undefined || fields.length === 0) return mutate(random, bytes, other);
  const at = random.below(fields.length);
  const field = fields[at];
  if (field === undefined) return mutate(random, bytes, other);
  const changed = changedField(random, field, found.length > 0 ? found : fields);
  return Buffer.concat([...fields.slice(0, at), ...changed, ...fields.slice(at + 1)].map(encode));
}

interface Field {
  readonly number: number;
  readonly type: number;
  /** Of the value: without its length where it has one. */
  readonly value: Uint8Array;
}

function changedField(random: Random, field: Field, others: readonly Field[]): readonly Field[] {
  const { number, type, value } = field;
  switch (random.below(8)) {
    case 0:
      return [];
    case 1:
      return Array.from({ length: 1 + random.below(pick(random, [3, 3000])) }, () => field);
    case 2:
      return [field, pick(random, others)];
    case 3:
      return [{ ...field, number: 1 + random.below(60) }];
    case 4:
      return [{ number, type: 2, value: Buffer.from(word(random)) }];
    case 5:
      return [{ number, type: 0, value: varint(pick(random, [0, 1, 127, 2 ** 31, 2 ** 32, -1])) }];
    default:
      if (type !== 2) {
        const isVarint = type === 0;
        return [{ ...field, value: isVarint ? varint(random.uint32()) : mutated(random, value) }];
      }
      return [{ ...field, value: mutateMessage(random, value) }];
  }
}

/** As many bytes as before: only the value changes. */
function mutated(random: Random, value: Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = pick(random, [0, 0xff, 0x7f, random.below(256)]);
  return bytes;
}

function fieldsOf(bytes: Uint8Array): Field[] | undefined {
  const fields: Field[] = [];
  for (let at = 0; at < bytes.length;) {
    const tag = readVarint(bytes, at);
    if (tag === undefined) return undefined;
    const type = tag.value & 7;
    const start = type === 2 ? readVarint(bytes, tag.end) : { value: 0, end: tag.end };
    const end = start === undefined ? undefined : endOf(bytes, type, start);
    if (start === undefined || end === undefined || end > bytes.length) return undefined;
    fields.push({ number: tag.value >>> 3, type, value: bytes.subarray(start.end, end) });
    at = end;
  }
  return fields;
}

function endOf(
  bytes: Uint8Array,
  type: number,
  { value, end }: { readonly value: number; readonly end: number },
): number | undefined {
  if (type === 0) return readVarint(bytes, end)?.end;
  if (type === 2) return end + value;
  return type === 1 ? end + 8 : type === 5 ? end + 4 : undefined;
}

function readVarint(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  let value = 0;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[at + i];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, end: at + i + 1 };
  }
  return undefined;
}

function encode({ number, type, value }: Field): Buffer {
  const head = varint(number * 8 + type);
  return Buffer.concat(type === 2 ? [head, varint(value.length), value] : [head, value]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  do {
    bytes.push(Number(rest & 0x7fn) | (rest > 0x7fn ? 0x80 : 0));
    rest >>= 7n;
  } while (rest > 0n);
  return Buffer.from(bytes);
}
