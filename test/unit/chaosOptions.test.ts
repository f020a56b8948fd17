import { expect, test } from "vitest";
import { readOptions } from "../chaos/options.js";

test.each(["seed", "workers", "kills", "jobs", "reference"])(
  "--%s takes whole numbers only",
  (name) => {
    expect(() => readOptions([`--${name}`, "2"])).not.toThrow();
    expect(() => readOptions([`--${name}`, "1.5"])).toThrow(
      new RegExp(`--${name} is "1.5", but must be a whole number`),
    );
  },
);
