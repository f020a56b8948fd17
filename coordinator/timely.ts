import { FailureError } from "../src/job/problem.js";

/** Gives the values on. FailureError: the next one was not there after `ms`, however long the work on the last one took. */
export async function* timely<T>(values: AsyncIterable<T>, ms: number): AsyncGenerator<T> {
  const iterator = values[Symbol.asyncIterator]();
  try {
    for (;;) {
      const step = await within(iterator.next(), ms);
      if (step.done === true) return;
      yield step.value;
    }
  } finally {
    // Not awaited: it may be the very one that does not come.
    iterator.return?.().then(undefined, () => undefined);
  }
}

async function within<T>(step: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const failure = new FailureError(`nothing was sent for ${ms / 1000} s`);
    timer = setTimeout(() => reject(failure), ms);
  });
  try {
    return await Promise.race([step, late]);
  } finally {
    clearTimeout(timer);
  }
}
