import type { Range } from "../plan/tree.js";

/**
 * What ranks ask each other for. Content is named by what it is, never by who has it or who was
 * a member when it was made: the same name means the same bits in every generation of an attempt.
 * Only where something turns out to be wrong is the sum of the step tried again: then the same name
 * means other bits, and what was said in an earlier trial is stale.
 */
export type Content =
  /** The sum of shards `first` to `end` (exclusive), a node of the summation tree. */
  | { readonly kind: "node"; readonly first: number; readonly end: number }
  /** The finished sum of all shards. */
  | { readonly kind: "sum" }
  /** Parameters followed by momentum, as they are before the step. */
  | { readonly kind: "state" };

interface Head {
  readonly job: string;
  readonly attempt: number;
  readonly step: number;
  /** Which trial of the step's sum it belongs to; see `AllReduce.deal`. */
  readonly trial: number;
  /** Where the sender listens. */
  readonly from: string;
  readonly content: Content;
  /** The first float32 element meant, counted from the start of the content. */
  readonly offset: number;
  /** How many elements. */
  readonly length: number;
}

/** Asks the receiver for a part of a content. */
export interface RequestFrame extends Head {
  readonly kind: "request";
}

/** The part itself: `length` little-endian float32 values, at no particular alignment. */
export interface DataFrame extends Head {
  readonly kind: "data";
  readonly bytes: Uint8Array;
}

export type Frame = RequestFrame | DataFrame;

/** A frame and the address that it goes to. */
export interface Outbound {
  readonly to: string;
  readonly frame: Frame;
}

/** A name for the content, for maps and messages; unique within one step of one attempt. */
export function contentKey(content: Content): string {
  return content.kind === "node" ? nodeContentKey(content) : content.kind;
}

/** The name of a tree node's sum. */
export function nodeContentKey({ first, end }: Range): string {
  return `node ${first}-${end}`;
}

/** The same memory as bytes. */
export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
