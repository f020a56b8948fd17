import { reasonOf } from "../../src/job/problem.js";

/** The message that the promise is rejected with, or "done". */
export async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(() => "done", reasonOf);
}
