import { Worker, parentPort } from "node:worker_threads";
import { assert } from "../src/job/problem.js";

/** What a thread offers: each call takes one value and gives one, both structured-cloneable. */
export type Calls = Readonly<Record<string, (argument: never) => unknown>>;

interface Request {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { readonly name: string; readonly message: string; readonly stack: string };
}

type Argument<Offer extends Calls, Name extends keyof Offer> = Parameters<Offer[Name]>[0];
type Result<Offer extends Calls, Name extends keyof Offer> = Awaited<ReturnType<Offer[Name]>>;

/**
 * A thread of this process, called like a module. Calls are carried out one after another in the
 * order made, unless the thread's function is asynchronous; errors keep their name and message.
 */
export class Thread<Offer extends Calls> {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }
  >();
  #nextId = 0;
  #broken: Error | undefined;
  /** Since when it carries out the oldest call that is not answered. */
  #sinceMs = 0;

  constructor(file: URL) {
    this.#worker = new Worker(file);
    this.#worker.on("message", (reply: Reply) => this.#settle(reply));
    this.#worker.on("error", (error: Error) => this.#break(error));
    this.#worker.on("exit", (code) => this.#break(new Error(`the thread ended with code ${code}`)));
  }

  call<Name extends keyof Offer & string>(
    name: Name,
    argument: Argument<Offer, Name>,
  ): Promise<Result<Offer, Name>> {
    const broken = this.#broken;
    if (broken !== undefined) return Promise.reject(broken);
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      if (this.#waiting.size === 0) this.#sinceMs = performance.now();
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, name, argument } satisfies Request);
    });
  }

  /** How long it has been at its present call; -1 when it has none. */
  busyMs(): number {
    return this.#waiting.size === 0 ? -1 : performance.now() - this.#sinceMs;
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #settle(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    assert(waiting !== undefined, `a reply to call ${reply.id}, which nobody waits for`);
    this.#waiting.delete(reply.id);
    this.#sinceMs = performance.now();
    if (reply.error === undefined) {
      // The value's type is what `serve` of the same Calls returned; messages carry no types.
      waiting.resolve(reply.value as never);
      return;
    }
    const error = new Error(reply.error.message);
    error.name = reply.error.name;
    error.stack = reply.error.stack;
    waiting.reject(error);
  }

  #break(error: Error): void {
    this.#broken ??= error;
    for (const { reject } of this.#waiting.values()) reject(this.#broken);
    this.#waiting.clear();
  }
}

/** Answers calls in a thread started by `Thread` with the same Calls. */
export function serve(calls: Calls): void {
  const port = parentPort;
  assert(port !== null, "serve() outside a thread");
  port.on("message", ({ id, name, argument }: Request) => {
    const reply = (value: unknown): void => port.postMessage({ id, value } satisfies Reply);
    const fail = (reason: unknown): void => {
      const error = reason instanceof Error ? reason : new Error(String(reason));
      const { name: kind, message, stack } = error;
      port.postMessage({ id, error: { name: kind, message, stack: stack ?? "" } } satisfies Reply);
    };
    const call = calls[name];
    if (call === undefined) {
      fail(new Error(`no call ${name}`));
      return;
    }
    try {
      // `Thread.call` has checked the argument's type against the same Calls.
      const value = call(argument as never);
      if (value instanceof Promise) void value.then(reply, fail);
      else reply(value);
    } catch (error) {
      fail(error);
    }
  });
}

/** Memory that every thread of this process sees without a copy. */
export function sharedFloats(count: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(count * Float32Array.BYTES_PER_ELEMENT));
}
