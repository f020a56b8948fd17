import { quote } from "../job/cutText.js";
import { ConfigError } from "../job/problem.js";

/** Reads a value of a command line. ConfigError: it is no whole number from `min` to `max`; `what` is the flag or the argument. */
export function wholeNumber(what: string, min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (/^\d{1,10}$/.test(value) && number >= min && number <= max) return number;
    throw new ConfigError(
      `${what} is ${quote(value, 100)}, not a whole number from ${min} to ${max}`,
    );
  };
}
