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

/** Of one job: ImageNet-21k has 21,843. */
export const classesMax = 65_536;
/** Length of one name. */
export const classNameMax = 255;
/** Of all names of a job's classes together, as JSON. A record keeps them all, beside what grows; see recordBytesMax. */
export const classNamesBytesMax = 400_000;
/** Examples of a job, training and validation each. */
export const examplesMax = 3_000_000;
/** Workers that take part in a job at once. */
export const membersMax = 4096;
/** Length of a worker's id. */
export const workerIdMax = 63;
/** A record keeps the newest evaluations; the job's log has all. */
export const evaluationsMax = 1_000;
/** Of a job's record: below a NATS server's max_payload of 1 MiB. A job of the greatest names, lists and numbers fits. */
export const recordBytesMax = 1_000_000;

/** Bytes of what a task comes to, as it stands in one message: what is larger belongs into the store. */
export const resultBytesMax = 3 * 2 ** 20;

/** Pictures that are classified in one call, and their bytes: the client knows before it sends. */
export const predictLimits = {
  pictures: 256,
  pictureBytes: 32 * 2 ** 20,
  totalBytes: 256 * 2 ** 20,
};
/** Classes that are told of a picture: all of them only where there are no more. */
export const scoresMax = 100;
/** UTF-16 units of the name by which a client calls a picture. */
export const pictureNameMax = 1024;
/** Of the sentence that says why a picture has no scores, its name in it. */
export const pictureProblemMax = 2048;
