/** Calls to the coordinator in plain values and sentences. */
import { once } from "node:events";
import {
  Client,
  logVerbosity,
  Metadata,
  setLogVerbosity,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
  type ServiceError,
} from "@grpc/grpc-js";
import { ConfigError, WireError } from "../job/problem.js";
import { hostPort, parseAddress } from "../process/address.js";
import type { TlsFiles } from "../process/certificates.js";
import { messageBytesMax, type Codec } from "../wire/codec.js";
import { buffer } from "./bytes.js";
import { KeptSockets } from "./keptSockets.js";
import { asBytes, type Method } from "./methods.js";
import { fromStatus, problem } from "./status.js";

/** How long the caller of a stream waits for its first message is its own affair: streams have no deadline. */
const channelOptions = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
  "grpc.enable_channelz": 0,
  // A coordinator is reached directly, whatever proxies the environment names.
  "grpc.enable_http_proxy": 0,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 2_000,
  // Otherwise a new client inherits the waiting time of one that has failed before.
  "grpc.use_local_subchannel_pool": 1,
};

/** One connection. Every failure is a ConfigError or FailureError with a sentence; UnreachableError may pass by itself. */
export class Channel {
  readonly address: string;
  readonly #client: Client;
  readonly #sockets: KeptSockets;
  readonly #metadata = new Metadata();

  /** ConfigError: `address` is not HOST:PORT. An empty token is none; without `tls` all goes in the clear. */
  constructor(address: string, token: string, tls?: TlsFiles) {
    const { host, port } = parseAddress(address, "the coordinator's address");
    const target = hostPort({ host, port });
    this.#sockets = new KeptSockets(host, tls);
    setLogVerbosity(logVerbosity.NONE);
    this.address = address;
    this.#client = new Client(target, this.#sockets, channelOptions);
    if (token !== "") this.#metadata.set("authorization", `Bearer ${token}`);
  }

  /** Why it cannot be reached, where that is known. */
  get trouble(): string | undefined {
    return this.#sockets.trouble;
  }

  close(): void {
    this.#client.close();
  }

  /** Breaks the connection without a word to the other side, which may not hear it. */
  cut(): void {
    this.#sockets.destroy();
  }

  unary<Request, Response>(
    { path, request, response }: Method<Request, Response>,
    value: Request,
    deadlineMs: number,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const argument = requestBytes(request, value);
      const options = { deadline: Date.now() + deadlineMs };
      const done = (error: ServiceError | null, bytes?: Buffer): void => {
        if (error !== null) reject(fromStatus(error, this.address, this.trouble));
        else decodeInto(response, bytes, this.address, resolve, reject);
      };
      this.#client.makeUnaryRequest(
        path,
        asBytes,
        asBytes,
        argument,
        this.#metadata,
        options,
        done,
      );
    });
  }

  /**
   * Reads no faster than the caller; leaving the loop or aborting the signal cancels the call. An abort ends the loop.
   * `onOpen` is called when the coordinator has taken the call, before the first value.
   */
  async *serverStream<Request, Response>(
    { path, request, response }: Method<Request, Response>,
    value: Request,
    signal?: AbortSignal,
    onOpen: () => void = () => undefined,
  ): AsyncGenerator<Response> {
    if (isAborted(signal)) return;
    const argument = requestBytes(request, value);
    const call = this.#client.makeServerStreamRequest<Buffer, Buffer>(
      path,
      asBytes,
      asBytes,
      argument,
      this.#metadata,
    );
    call.once("metadata", onOpen);
    const cancel = (): void => call.cancel();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      for await (const bytes of messages(call)) yield response.decode(bytes);
    } catch (error) {
      if (!isAborted(signal)) throw problem(error, this.address, this.trouble);
    } finally {
      signal?.removeEventListener("abort", cancel);
      call.cancel();
    }
  }

  /** Sends no faster than the coordinator takes; an answer before the end of `values`, or an abort, ends the sending. */
  clientStream<Request, Response>(
    { path, request, response }: Method<Request, Response>,
    values: AsyncIterable<Request>,
    deadlineMs: number,
    signal?: AbortSignal,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const answered = new AbortController();
      const cancel = (): void => call.cancel();
      const done = (error: ServiceError | null, bytes?: Buffer): void => {
        answered.abort();
        signal?.removeEventListener("abort", cancel);
        if (error !== null) reject(fromStatus(error, this.address, this.trouble));
        else decodeInto(response, bytes, this.address, resolve, reject);
      };
      const options = { deadline: Date.now() + deadlineMs };
      const call = this.#client.makeClientStreamRequest<Buffer, Buffer>(
        path,
        asBytes,
        asBytes,
        this.#metadata,
        options,
        done,
      );
      if (isAborted(signal)) cancel();
      else signal?.addEventListener("abort", cancel, { once: true });
      feed(call, values, request, answered.signal).catch((error: unknown) => {
        if (!answered.signal.aborted) call.cancel();
        reject(problem(error, this.address, this.trouble));
      });
    });
  }

  /** The worker's stream, as bytes. */
  session(path: string): ClientDuplexStream<Buffer, Buffer> {
    return this.#client.makeBidiStreamRequest(path, asBytes, asBytes, this.#metadata);
  }
}

/** A call, since the compiler takes the flag for one that never changes. */
function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true;
}

/** grpc-js types the messages of a readable as unknown to `for await`. */
async function* messages(call: ClientReadableStream<Buffer>): AsyncGenerator<Buffer> {
  for await (const bytes of call) if (Buffer.isBuffer(bytes)) yield bytes;
}

async function feed<Request>(
  call: ClientWritableStream<Buffer>,
  values: AsyncIterable<Request>,
  request: Codec<Request>,
  answered: AbortSignal,
): Promise<void> {
  for await (const value of values) {
    if (!call.write(requestBytes(request, value))) await once(call, "drain", { signal: answered });
  }
  call.end();
}

/** ConfigError: the coordinator would not take it. */
function requestBytes<Request>(request: Codec<Request>, value: Request): Buffer {
  try {
    return buffer(request.encode(value));
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new ConfigError(`the request cannot be sent: ${error.message}`, { cause: error });
  }
}

function decodeInto<Response>(
  codec: Codec<Response>,
  bytes: Buffer | undefined,
  address: string,
  resolve: (value: Response) => void,
  reject: (error: unknown) => void,
): void {
  try {
    resolve(codec.decode(bytes ?? Buffer.alloc(0)));
  } catch (error) {
    reject(problem(error, address));
  }
}
