/** What a coordinator asks of the process that started it, on the channel between the two: to keep so many workers. */
import type { ChildProcess } from "node:child_process";
import { FailureError } from "../job/problem.js";

/** Answers with how many it keeps now. FailureError: it does not. */
export type Scale = (workers: number) => number;

interface Request {
  readonly kind: "scale";
  readonly id: number;
  readonly workers: number;
}

interface Answer {
  readonly kind: "scaled";
  readonly id: number;
  readonly workers: number;
  /** Why it is not done; empty: it is. */
  readonly refusal: string;
}

const answerMs = 10_000;
const noStarter =
  "the workers of this fleet were not started by `bitfleet up`; start or stop them where they run";
let lastId = 0;

/** FailureError: this process was not started by a `bitfleet up`, or that one does not answer. */
export function askStarter(workers: number): Promise<number> {
  if (!process.connected) return Promise.reject(new FailureError(noStarter));
  const request: Request = { kind: "scale", id: (lastId += 1), workers };
  return new Promise((resolve, reject) => {
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      process.off("message", onMessage);
      settle();
    };
    const fail = (reason: string): void => finish(() => reject(new FailureError(reason)));
    const onMessage = (message: unknown): void => {
      if (!isAnswer(message) || message.id !== request.id) return;
      if (message.refusal === "") finish(() => resolve(message.workers));
      else fail(message.refusal);
    };
    const timer = setTimeout(
      () => fail("the `bitfleet up` of this fleet does not answer"),
      answerMs,
    );
    process.on("message", onMessage);
    process.send?.(request, undefined, undefined, (error) => {
      if (error !== null) fail("the `bitfleet up` of this fleet is gone");
    });
  });
}

/** Answers what a process of ours asks; without `scale` with a refusal. */
export function answerStarted(child: ChildProcess, scale: Scale | undefined): void {
  child.on("message", (message: unknown) => {
    if (!isRequest(message)) return;
    const { id, workers } = message;
    // One that has ended meanwhile needs no answer.
    child.send(answer(id, workers, scale), () => undefined);
  });
}

function answer(id: number, workers: number, scale: Scale | undefined): Answer {
  const refused = (refusal: string): Answer => ({ kind: "scaled", id, workers: 0, refusal });
  if (scale === undefined) return refused(noStarter);
  try {
    return { kind: "scaled", id, workers: scale(workers), refusal: "" };
  } catch (error) {
    if (error instanceof FailureError) return refused(error.message);
    throw error;
  }
}

function isRequest(message: unknown): message is Request {
  return isOf(message, "scale");
}

function isAnswer(message: unknown): message is Answer {
  return isOf(message, "scaled");
}

function isOf(message: unknown, kind: string): boolean {
  return (
    typeof message === "object" && message !== null && "kind" in message && message.kind === kind
  );
}
