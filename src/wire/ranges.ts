import type { bitfleet } from "#proto";
import { shardsMax } from "../job/limits.js";
import type { Range } from "../plan/tree.js";
import { count, list } from "./codec.js";

/** Ranges of a round's shards, in the order given; neither they nor their number exceeds the bound. */
export function ranges(
  messages: bitfleet.v1.ShardRange.$Properties[] | null | undefined,
  shardCount: number,
): readonly Range[] {
  return list(messages, "ranges", shardsMax, (message) => {
    const end = count(message.end, "end of shards", shardCount);
    return { first: count(message.first, "first shard", end), end };
  });
}
