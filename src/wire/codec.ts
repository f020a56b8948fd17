/**
 * Bytes <-> checked values. What a decoder returns has been checked against the bounds here once, and is trusted inside.
 * A decoder throws WireError and nothing else, whatever the bytes (a ConfigError where a user's settings are wrong); it copies every field out, so that no protobufjs object
 * travels on.
 */
import type { Reader, Writer } from "protobufjs/minimal.js";
import { countMax } from "../job/limits.js";
import { cut as cutTo, quote } from "../job/cutText.js";
import { AssertionError, WireError } from "../job/problem.js";

export { quote };

export interface Codec<T> {
  /** WireError: the other side would not take it. It is for who sends to know, and to say what it says instead. */
  encode(value: T): Uint8Array;
  /** WireError: the bytes are no such message, or a field breaks its bound. */
  decode(bytes: Uint8Array): T;
}

export interface MessageCodec<T> extends Codec<T> {
  /** The bytes of what no bound was held against, as a peer may send them. */
  encodeUnchecked(value: T): Uint8Array;
}

/** What pbjs generates for a message. */
export interface MessageType<Properties, Message> {
  encode(message: Properties, writer?: Writer): Writer;
  decode(reader: Reader | Uint8Array, length?: number): Message;
}

/** No message may be longer; gRPC holds the same limit. */
export const messageBytesMax = 4 * 1024 * 1024;

export function codec<T, Properties, Message>(
  what: string,
  type: MessageType<Properties, Message>,
  toMessage: (value: T) => Properties,
  fromMessage: (message: Message) => T,
): MessageCodec<T> {
  const encodeUnchecked = (value: T): Uint8Array => type.encode(toMessage(value)).finish();
  const decode = (bytes: Uint8Array): T => {
    const size = `a ${what} of ${bytes.length} bytes, ${messageBytesMax} allowed`;
    check(bytes.length <= messageBytesMax, size);
    return fromMessage(read(what, type, bytes));
  };
  // Every bound is the decoder's: there is none that a sender could fail to know.
  const encode = (value: T): Uint8Array => {
    const bytes = encodeUnchecked(value);
    decode(bytes);
    return bytes;
  };
  return { encode, encodeUnchecked, decode };
}

function read<Message>(
  what: string,
  type: MessageType<never, Message>,
  bytes: Uint8Array,
): Message {
  try {
    return type.decode(bytes);
  } catch (error) {
    if (error instanceof AssertionError) throw error;
    throw new WireError(`bytes that are no ${what}`, { cause: error });
  }
}

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new WireError(message);
}

type Scalar<T> = T | null | undefined;

/** A whole number from `min` to `max`; absent is 0. */
export function count(value: Scalar<number>, what: string, max = countMax, min = 0): number {
  const number = value ?? 0;
  check(Number.isInteger(number) && min <= number && number <= max, `${what} ${number}`);
  return number;
}

/** Any uint32. */
export function checksum(value: Scalar<number>): number {
  return (value ?? 0) >>> 0;
}

/** A finite number from `min` to `max`; absent is 0. */
export function amount(value: Scalar<number>, what: string, min = 0, max = 1e15): number {
  const number = value ?? 0;
  check(Number.isFinite(number) && min <= number && number <= max, `${what} ${number}`);
  return number;
}

const textMax = 4096;

/** Text for people, of at most `max` UTF-16 units. */
export function text(value: Scalar<string>, what: string, max = textMax): string {
  const string = value ?? "";
  check(string.length <= max, `${what} of ${string.length} characters, ${max} allowed`);
  return string;
}

/** What the other side takes: an error message is worth more cut than refused. */
export function cut(value: string, max = textMax): string {
  return cutTo(value, max);
}

const labelPattern = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/** The name of a job: a DNS label. */
export function label(value: Scalar<string>, what: string): string {
  const string = value ?? "";
  check(labelPattern.test(string), `${what} ${quote(string)} is not a DNS label`);
  return string;
}

const tokenPattern = /^[A-Za-z0-9][A-Za-z0-9_:-]*(?:\.[A-Za-z0-9_:-]+)*$/;

/** An id that may become part of a NATS subject or a file name: letters, digits, `_`, `-`, `:` and single dots. */
export function token(value: Scalar<string>, what: string, max = 128): string {
  const string = value ?? "";
  check(string.length <= max && tokenPattern.test(string), `${what} ${quote(string)}`);
  return string;
}

/** As `token`, or empty. */
export function optionalToken(value: Scalar<string>, what: string, max = 128): string {
  return (value ?? "") === "" ? "" : token(value, what, max);
}

const storeNamePattern = /^[A-Za-z0-9_-][A-Za-z0-9._-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/;

/** A name in the store: no way out of its folder. */
export function storeName(value: Scalar<string>, what: string): string {
  const string = value ?? "";
  check(string.length <= 255 && storeNamePattern.test(string), `${what} ${quote(string)}`);
  return string;
}

/** One of the words. */
export function word<const Word extends string>(
  value: Scalar<string>,
  words: readonly Word[],
  what: string,
): Word {
  const found = words.find((candidate) => candidate === value);
  check(found !== undefined, `${what} ${quote(value ?? "")}`);
  return found;
}

/** At most `max` entries, each read by `entry`; absent is none. */
export function list<From, To>(
  values: Scalar<readonly From[]>,
  what: string,
  max: number,
  entry: (value: From) => To,
): readonly To[] {
  const given = values ?? [];
  check(given.length <= max, `${given.length} ${what}, ${max} allowed`);
  return given.map(entry);
}

/** A message that has to be there. */
export function present<T>(value: Scalar<T>, what: string): T {
  check(value !== undefined && value !== null, `no ${what}`);
  return value;
}
