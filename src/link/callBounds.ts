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
import type { Peer } from "../process/connectionPlaces.js";
import { busyPrefix, sentenceOf, type CallStatus } from "./status.js";

export interface CallBounds {
  /** Open at once, over all peers; workers' streams are among them. */
  readonly calls: number;
  /** Open at once, of one remote address: others find room. */
  readonly perAddress: number;
  /** Of those the ones without a token, as a probe's, over all peers and of one address: callers with a token find room. */
  readonly strangers: number;
  readonly strangersPerAddress: number;
  /** Open at once, by the last part of the method's path; strangers have as many of their own. */
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
  strangers: 512,
  strangersPerAddress: 128,
  perMethod: {
    ...{ Preview: 64, WatchJob: 1024, ReadLogs: 1024, ExportWeights: 64, Predict: 8 },
    ...{ MissingBlobs: 16, PushData: 16, CommitData: 4, ListData: 16, RemoveData: 4 },
    ServerReflectionInfo: 16,
    // Of the health service. A Watch is for ever.
    ...{ Check: 256, Watch: 64 },
  },
  // Its answers, of several KB each, are queued also for who does not read them.
  messages: { ServerReflectionInfo: 256 },
  requestMs: 30_000,
  uploadMs: 600_000,
};

const sessionMethod = "Session";

/** Who makes a call, by its headers. */
export interface Arrival {
  /** Why it may not go on; undefined: it may. */
  readonly refusal: CallStatus | undefined;
  /** Whether it has a token that is known, or none is asked for. */
  readonly hasToken: boolean;
}

export type HeaderCheck = (metadata: Metadata, name: string) => Arrival;

/** One of these per server: it counts. */
export function boundedCalls(
  check: HeaderCheck,
  bounds: CallBounds = callBounds,
  onHeard: (peer: Peer, hasToken: boolean) => void = () => undefined,
): ServerInterceptor {
  const open = new OpenCalls();
  return (method, call) => {
    const name = method.path.slice(method.path.lastIndexOf("/") + 1);
    const peer = call.getConnectionInfo();
    let leave = (): void => undefined;
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
        const { refusal, hasToken } = check(metadata, name);
        onHeard(peer, hasToken);
        if (refusal !== undefined) {
          refuse(refusal.code, refusal.details);
          return;
        }
        const limits = limitsOf(bounds, name, peer.remoteAddress ?? "", hasToken);
        const tooMany = limits.find(([key, most]) => open.count(key) >= most);
        if (tooMany !== undefined) {
          refuse(status.RESOURCE_EXHAUSTED, `${busyPrefix}${tooMany[1]} such calls are open`);
          return;
        }
        leave = open.enter(limits.map(([key]) => key));
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

/** What a call counts under, and how many may. */
function limitsOf(
  bounds: CallBounds,
  name: string,
  address: string,
  hasToken: boolean,
): readonly (readonly [string, number])[] {
  const ofMethod = bounds.perMethod[name] ?? Infinity;
  const ofAll = [
    ["", bounds.calls],
    [`from ${address}`, bounds.perAddress],
  ] as const;
  if (hasToken) return [...ofAll, [`/${name}`, ofMethod]];
  return [
    ...ofAll,
    ["strangers", bounds.strangers],
    [`strangers from ${address}`, bounds.strangersPerAddress],
    [`strangers/${name}`, ofMethod],
  ];
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
