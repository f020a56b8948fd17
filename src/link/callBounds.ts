/**
 * How many calls may be open at once and how long they may take to say what they want. Applied to every call as soon as its
 * headers are there, before a byte of its message is read. Every status goes out here, too: none is longer than a header may be.
 */
import {
  ServerInterceptingCall,
  ServerListenerBuilder,
  status,
  type Metadata,
  type ServerInterceptor,
} from "@grpc/grpc-js";
import { busyPrefix, sentenceOf, type CallStatus } from "./status.js";

export interface CallBounds {
  /** Open at once, over all peers; workers' streams are among them. */
  readonly calls: number;
  /** Open at once, of one remote address: others find room. */
  readonly perAddress: number;
  /** Open at once, by the last part of the method's path. */
  readonly perMethod: Readonly<Record<string, number>>;
  /** Messages that one call may send, by the last part of the method's path. */
  readonly messages: Readonly<Record<string, number>>;
  /** A request of one message has to be there by then. */
  readonly requestMs: number;
  /** A stream of requests has to have ended by then; workers' streams never do. */
  readonly uploadMs: number;
}

export const callBounds: CallBounds = {
  calls: 8192,
  perAddress: 4096,
  perMethod: {
    ...{ Preview: 64, WatchJob: 1024, ReadLogs: 1024, ExportWeights: 64, Predict: 8 },
    ...{ MissingBlobs: 16, PushData: 16, CommitData: 4, ListData: 16, RemoveData: 4 },
    ServerReflectionInfo: 16,
  },
  // Its answers, of several KB each, are queued also for who does not read them.
  messages: { ServerReflectionInfo: 256 },
  requestMs: 30_000,
  uploadMs: 600_000,
};

const sessionMethod = "Session";

/** Whether a call of that name may go on, by its headers; undefined: it may. */
export type HeaderCheck = (metadata: Metadata, name: string) => CallStatus | undefined;

/** One of these per server: it counts. */
export function boundedCalls(
  refusalOf: HeaderCheck,
  bounds: CallBounds = callBounds,
): ServerInterceptor {
  const open = new OpenCalls();
  return (method, call) => {
    const name = method.path.slice(method.path.lastIndexOf("/") + 1);
    const address = call.getConnectionInfo().remoteAddress ?? "";
    const limits: readonly (readonly [string, number])[] = [
      ["", bounds.calls],
      [`from ${address}`, bounds.perAddress],
      [`/${name}`, bounds.perMethod[name] ?? Infinity],
    ];
    const tooMany = limits.find(([key, most]) => open.count(key) >= most);
    const leave = open.enter(tooMany === undefined ? limits.map(([key]) => key) : []);
    const messagesMax = bounds.messages[name] ?? Infinity;
    let messages = 0;
    let timer: NodeJS.Timeout | undefined;
    const end = (): void => {
      clearTimeout(timer);
      leave();
    };
    const refuse = (code: status, details: string): void => {
      end();
      call.sendStatus({ code, details: sentenceOf(details) });
    };
    const listener = new ServerListenerBuilder()
      .withOnReceiveMetadata((metadata, next) => {
        const refusal = refusalOf(metadata, name);
        if (refusal !== undefined) {
          refuse(refusal.code, refusal.details);
          return;
        }
        if (tooMany !== undefined) {
          refuse(status.RESOURCE_EXHAUSTED, `${busyPrefix}${tooMany[1]} such calls are open`);
          return;
        }
        if (name !== sessionMethod) {
          const ms = method.requestStream ? bounds.uploadMs : bounds.requestMs;
          const late = `the request had not come whole after ${ms / 1000} s`;
          timer = setTimeout(() => refuse(status.DEADLINE_EXCEEDED, late), ms);
        }
        next(metadata);
      })
      .withOnReceiveMessage((message, next) => {
        messages += 1;
        if (messages <= messagesMax) next(message);
        else refuse(status.RESOURCE_EXHAUSTED, `more than ${messagesMax} requests in one call`);
      })
      .withOnReceiveHalfClose((next) => {
        clearTimeout(timer);
        next();
      })
      .withOnCancel(end)
      .build();
    return new ServerInterceptingCall(call, {
      start: (next) => next(listener),
      sendStatus: (outcome, next) => {
        end();
        next({ ...outcome, details: sentenceOf(outcome.details) });
      },
    });
  };
}

class OpenCalls {
  readonly #open = new Map<string, number>();

  count(key: string): number {
    return this.#open.get(key) ?? 0;
  }

  /** Counts a call under every key until what is returned is called. */
  enter(keys: readonly string[]): () => void {
    for (const key of keys) this.#open.set(key, this.count(key) + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      for (const key of keys) {
        if (this.count(key) > 1) this.#open.set(key, this.count(key) - 1);
        else this.#open.delete(key);
      }
    };
  }
}
