import type { Random } from "../../src/plan/random.js";

/** One kind of input from outside: what reads it, in stages, and how spoilt ones are made. */
export interface Kind {
  readonly name: string;
  /** In the order of reading: an input that is refused at one stage has passed those before it. */
  readonly stages: readonly Stage[];
  readonly open: () => Promise<Target>;
}

export interface Stage {
  readonly name: string;
  /** What a refusal at this stage says. */
  readonly refusal: RegExp;
}

export interface Target {
  /** Makes one input and has it read. Throws the refusal; returns where it was accepted. */
  readonly feed: (random: Random) => Promise<void> | void;
  readonly close?: () => Promise<void>;
}

/** A refusal by an answer instead of an exception: a status, or a reason that was returned. */
export class Refusal extends Error {}

/** The code under test has done what it never may: accepted wrong bytes, say. */
export class Finding extends Error {}

/** Throws a Finding unless the condition holds. */
export function hold(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Finding(message);
}
