/** The message that the promise is rejected with, or "done". */
export async function failureOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "done",
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}
