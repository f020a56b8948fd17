import { assert } from "../job/problem.js";
import type { Range } from "./tree.js";

/**
 * The validation set as fixed slices of up to `shardSize` examples, in order. What an evaluation
 * counts is added in the order of these slices, whoever computed them.
 */
export function evaluationShards(examples: number, shardSize = 64): readonly Range[] {
  assert(examples >= 0 && shardSize > 0, `slices of ${shardSize} from ${examples} examples`);
  return Array.from({ length: Math.ceil(examples / shardSize) }, (_, slice) => ({
    first: slice * shardSize,
    end: Math.min(examples, (slice + 1) * shardSize),
  }));
}
