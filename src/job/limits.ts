/**
 * Bounds that more than one side has to agree on: who makes a value, who keeps it, and who reads it. A reader's bound is never
 * the maker's own: what is one more than the highest that may be made has to be readable.
 */

/** Steps, counts and the like stay below, so that a wrapped negative number is never taken for one. */
export const countMax = 2 ** 31 - 1;

/** Terms, attempts and generations are never believed above, whoever tells of them: those that follow from one are readable. */
export const believedMax = 2 ** 29;
/** A worker may have obeyed those that follow. */
export const termSaidMax = 2 ** 30;
/** So many terms, attempts or generations more than are known of may have been: only an older copy was left of what tells of them. */
export const aheadMax = 1000;

/** Shards of a round, training or evaluation. */
export const shardsMax = 65_536;
/** Opinions on one shard are numbered. */
export const checksMax = 65_536;
