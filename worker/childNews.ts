import type { Counters } from "../src/exchange/counters.js";

/** What a job's process tells its supervisor for those who count; nothing is decided by it. */
export type ChildNews =
  /** What its exchange has seen and done since the process began. */
  | { readonly kind: "counted"; readonly exchange: Readonly<Counters> }
  /** It has written what it was asked for. */
  | {
      readonly kind: "wrote";
      readonly what: "checkpoint" | "weights";
      readonly bytes: number;
      readonly seconds: number;
    };
