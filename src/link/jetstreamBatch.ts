import { NatsError, RequestStrategy, type NatsConnection } from "nats";

export interface StoredLine {
  /** Position in the stream, shared by all topics: grows, with gaps. */
  readonly position: number;
  readonly data: Uint8Array;
}

export interface LineBatch {
  readonly lines: readonly StoredLine[];
  /** Nothing comes behind these lines yet. Otherwise there is more, or the answer was cut short. */
  readonly end: boolean;
}

export interface BatchRequest {
  readonly subject: string;
  readonly position: number;
  readonly limit: number;
}

const batchTimeoutMs = 2000;
/** Keeps one batch far below what a client may have pending. */
const batchBytesMax = 4 << 20;

/**
 * The stream's next messages of one subject, from a position on, in one request: a batched direct read (NATS 2.11), which the
 * client library offers only in another form. The lines are in order and without gap.
 */
export async function nextMessages(
  connection: NatsConnection,
  stream: string,
  request: BatchRequest,
): Promise<LineBatch> {
  const replies = await connection.requestMany(
    `$JS.API.DIRECT.GET.${stream}`,
    JSON.stringify({
      seq: Math.max(1, request.position),
      next_by_subj: request.subject,
      batch: request.limit,
      max_bytes: batchBytesMax,
    }),
    { strategy: RequestStrategy.SentinelMsg, maxWait: batchTimeoutMs },
  );
  const lines: StoredLine[] = [];
  for await (const reply of replies) {
    const code = reply.headers?.code ?? 0;
    if (code === 404) return { lines, end: true };
    if (code === 204) return { lines, end: reply.headers?.get("Nats-Num-Pending") === "0" };
    if (code !== 0) throw new NatsError(reply.headers?.description ?? "", String(code));
    const position = Number(reply.headers?.get("Nats-Sequence"));
    lines.push({ position, data: reply.data });
  }
  return { lines, end: false };
}
