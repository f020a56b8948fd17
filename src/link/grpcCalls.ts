/**
 * Handlers in plain values -> handlers of grpc-js. Requests arrive as bytes and are decoded here, inside the call, so that a
 * malformed one is answered with its sentence.
 */
import { once } from "node:events";
import {
  Metadata,
  type handleClientStreamingCall,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerWritableStream,
} from "@grpc/grpc-js";
import { FailureError, WireError } from "../job/problem.js";
import type { Call } from "../job/roles.js";
import type { Codec } from "../wire/codec.js";
import { isRefused, type Admission, type Guest } from "./admission.js";
import { buffer } from "./bytes.js";
import type { Method } from "./methods.js";
import { isInternal, leaving, toStatus, type CallStatus } from "./status.js";

/** What every call needs of its server. */
export interface CallHost {
  admit(metadata: Metadata, call: Call): Admission;
  /** Aborts when the server shuts down; its reason is a string. */
  readonly signal: AbortSignal;
  onError(error: unknown): void;
}

export function unary<Request, Response>(
  host: CallHost,
  method: Method<Request, Response>,
  handle: (request: Request) => Promise<Response>,
): handleUnaryCall<Buffer, Buffer> {
  return (call, callback) => {
    const guest = host.admit(call.metadata, method);
    if (isRefused(guest)) {
      callback(guest);
      return;
    }
    guest.leave();
    const { request, response } = method;
    const answer = async (): Promise<Buffer> =>
      answerBytes(response, await handle(request.decode(call.request)));
    answer().then(
      (bytes) => callback(null, bytes),
      (error: unknown) => callback(report(host, error)),
    );
  };
}

export function serverStream<Request, Response>(
  host: CallHost,
  method: Method<Request, Response>,
  handle: (request: Request, signal: AbortSignal) => AsyncIterable<Response>,
): handleServerStreamingCall<Buffer, Buffer> {
  return (call) => {
    const guest = host.admit(call.metadata, method);
    if (isRefused(guest)) {
      call.emit("error", guest);
      return;
    }
    const { request, response } = method;
    const { signal, release } = callSignal(call, host, guest);
    // At once, so that a client knows of the connection although the first value may take long.
    call.sendMetadata(new Metadata());
    pump(call, signal, response, () => handle(request.decode(call.request), signal))
      .then(
        () => call.end(),
        (error: unknown) => {
          if (!call.cancelled) call.emit("error", endOf(host, guest, error));
        },
      )
      .finally(release);
  };
}

export function clientStream<Request, Response>(
  host: CallHost,
  method: Method<Request, Response>,
  handle: (requests: AsyncIterable<Request>, signal: AbortSignal) => Promise<Response>,
): handleClientStreamingCall<Buffer, Buffer> {
  return (call, callback) => {
    const guest = host.admit(call.metadata, method);
    if (isRefused(guest)) {
      callback(guest);
      return;
    }
    const { request, response } = method;
    const { signal, release } = callSignal(call, host, guest);
    Promise.race([handle(decoded(call, request), signal), aborted(signal)])
      .then(
        (value) => callback(null, answerBytes(response, value)),
        (error: unknown) => callback(endOf(host, guest, error)),
      )
      .finally(release);
  };
}

async function* decoded<Request>(
  call: AsyncIterable<Buffer>,
  request: Codec<Request>,
): AsyncGenerator<Request> {
  for await (const bytes of call) yield request.decode(bytes);
}

/** Pulls the next value only once the last was taken off our hands. Rejects with the reason of the signal. */
async function pump<Response>(
  call: ServerWritableStream<Buffer, Buffer>,
  signal: AbortSignal,
  response: Codec<Response>,
  open: () => AsyncIterable<Response>,
): Promise<void> {
  const stop = aborted(signal);
  const iterator = open()[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), stop]);
      if (next.done === true) return;
      if (!call.write(answerBytes(response, next.value))) {
        await Promise.race([once(call, "drain", { signal }), stop]);
      }
    }
  } finally {
    // Not awaited: a handler that is deaf to its signal holds up nobody.
    iterator.return?.().then(undefined, () => undefined);
  }
}

/** FailureError: a client would not take it. The request is not at fault. */
function answerBytes<Response>(response: Codec<Response>, value: Response): Buffer {
  try {
    return buffer(response.encode(value));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new FailureError(`the answer cannot be sent: ${error.message}`, { cause: error });
  }
}

/** Never resolves; rejects when the signal aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  const promise = new Promise<never>((_, reject) => {
    const stop = (): void => reject(new Aborted(String(signal.reason)));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  promise.catch(() => undefined);
  return promise;
}

class Aborted extends Error {}

function callSignal(
  call: { on(event: "cancelled", listener: () => void): unknown },
  host: CallHost,
  guest: Guest,
): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const leave = (): void => controller.abort(host.signal.reason);
  call.on("cancelled", () => controller.abort("the client has gone"));
  guest.onRevoked(() => controller.abort("its token no longer allows this"));
  if (host.signal.aborted) leave();
  else host.signal.addEventListener("abort", leave, { once: true });
  return {
    signal: controller.signal,
    release: () => {
      host.signal.removeEventListener("abort", leave);
      guest.leave();
      controller.abort("the call has ended");
    },
  };
}

/** A handler may throw anything once its signal has aborted; that is no error then. */
function endOf(host: CallHost, guest: Guest, error: unknown): CallStatus {
  if (guest.revocation !== undefined) return guest.revocation;
  if (error instanceof Aborted || host.signal.aborted) return leaving(String(host.signal.reason));
  return report(host, error);
}

function report(host: CallHost, error: unknown): CallStatus {
  if (isInternal(error)) host.onError(error);
  return toStatus(error);
}
