import type { FailureCause, Task, TaskEvent } from "../src/control/message.js";
import { utf8Bytes } from "../src/job/cutText.js";
import { resultBytesMax } from "../src/job/limits.js";
import { ChildProcess, describeExit } from "./childProcess.js";
import { childEnvironment } from "./childEnvironment.js";

/** To the process of a task. */
export interface TaskOrder {
  readonly task: Task;
  /** The store folder. */
  readonly store: string;
}

/** From the process of a task; `done` or `failed` is the last. */
export type TaskMessage =
  | { readonly kind: "progress"; readonly done: number; readonly total: number }
  | { readonly kind: "done"; readonly result: string }
  | { readonly kind: "failed"; readonly cause: FailureCause; readonly message: string };

/** Runs each task in a process of its own, so that one can be stopped at any moment. */
export class Tasks {
  readonly #environment: NodeJS.ProcessEnv;
  readonly #report: (event: TaskEvent) => void;
  readonly #running = new Map<string, ChildProcess<TaskOrder, TaskMessage>>();

  constructor(environment: NodeJS.ProcessEnv, report: (event: TaskEvent) => void) {
    this.#environment = environment;
    this.#report = report;
  }

  start(taskId: string, task: Task, store: string): void {
    if (this.#running.has(taskId)) return;
    let answered = false;
    const threads = task.kind === "predict" ? task.threads : 1;
    const process = new ChildProcess<TaskOrder, TaskMessage>({
      file: new URL("task.js", import.meta.url),
      environment: childEnvironment(this.#environment, { threads }),
      onEvent: (message) => {
        answered ||= message.kind !== "progress";
        this.#report(taskEventOf(taskId, task, message));
      },
      onExit: (exit) => {
        if (!this.#running.delete(taskId) || answered) return;
        const message = `the ${task.kind} task ended early with ${describeExit(exit)}`;
        this.#report({ kind: "task-failed", taskId, cause: "exit", message });
      },
    });
    this.#running.set(taskId, process);
    process.send({ task, store });
  }

  stop(taskId: string): void {
    const process = this.#running.get(taskId);
    this.#running.delete(taskId);
    process?.kill();
  }

  async close(): Promise<void> {
    const processes = [...this.#running.values()];
    this.#running.clear();
    await Promise.all(processes.map((process) => process.end()));
  }
}

/** An answer that the coordinator would not take is a failure, told once, and no reason for it to end the stream. */
export function taskEventOf(taskId: string, { kind }: Task, message: TaskMessage): TaskEvent {
  switch (message.kind) {
    case "progress":
      return { kind: "task-progress", taskId, done: message.done, total: message.total };
    case "done": {
      const bytes = utf8Bytes(message.result);
      if (bytes <= resultBytesMax) return { kind: "task-done", taskId, result: message.result };
      const sentence = `the answer to the ${kind} task has ${bytes} bytes, at most ${resultBytesMax} can be sent`;
      return { kind: "task-failed", taskId, cause: "data", message: sentence };
    }
    case "failed":
      return { kind: "task-failed", taskId, cause: message.cause, message: message.message };
  }
}
