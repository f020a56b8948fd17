/**
 * A function that works its answer out once for each input, which must never change. Much of a fleet
 * stays the very same object from event to event, and with it what follows from it.
 */
export function remembered<Input extends object, Output extends object>(
  work: (input: Input) => Output,
): (input: Input) => Output {
  const known = new WeakMap<Input, Output>();
  return (input) => {
    const before = known.get(input);
    if (before !== undefined) return before;
    const output = work(input);
    known.set(input, output);
    return output;
  };
}
