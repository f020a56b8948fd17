import { randomUUID } from "node:crypto";

import type { FailureCause, Task } from "../src/control/message.js";
import { ConfigError, FailureError } from "../src/job/problem.js";

export interface TaskOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

interface Waiting {
  readonly resolve: (result: string) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: (done: number, total: number) => void;
}

/** Requests that wait for a worker to finish a task. */
export class Tasks {
  readonly #start: (taskId: string, task: Task) => void;
  readonly #cancel: (taskId: string) => void;
  readonly #waiting = new Map<string, Waiting>();

  constructor(start: (taskId: string, task: Task) => void, cancel: (taskId: string) => void) {
    this.#start = start;
    this.#cancel = cancel;
  }

  /** The task's result. ConfigError where the input is at fault; FailureError otherwise, or when aborted. */
  async run(task: Task, options: TaskOptions): Promise<string> {
    options.signal.throwIfAborted();
    const taskId = randomUUID();
    const abort = (): void => {
      const waiting = this.#waiting.get(taskId);
      this.#waiting.delete(taskId);
      this.#cancel(taskId);
      waiting?.reject(new FailureError("the request was given up"));
    };
    options.signal.addEventListener("abort", abort, { once: true });
    try {
      return await new Promise<string>((resolve, reject) => {
        const onProgress = options.onProgress ?? (() => undefined);
        this.#waiting.set(taskId, { resolve, reject, onProgress });
        this.#start(taskId, task);
      });
    } finally {
      options.signal.removeEventListener("abort", abort);
    }
  }

  /** The fleet knows none of them any more. */
  failAll(message: string): void {
    for (const taskId of this.#waiting.keys()) this.failed(taskId, "error", message);
  }

  progress(taskId: string, done: number, total: number): void {
    this.#waiting.get(taskId)?.onProgress(done, total);
  }

  done(taskId: string, result: string): void {
    this.#waiting.get(taskId)?.resolve(result);
    this.#waiting.delete(taskId);
  }

  failed(taskId: string, cause: FailureCause, message: string): void {
    const inputAtFault = cause === "config" || cause === "data";
    const error = inputAtFault ? new ConfigError(message) : new FailureError(message);
    this.#waiting.get(taskId)?.reject(error);
    this.#waiting.delete(taskId);
  }
}
