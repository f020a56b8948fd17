import { expect, test } from "vitest";
import { requestIdOf } from "../../src/client/requestId.js";
import type { JobRequest } from "../../src/job/settings.js";

const settings: JobRequest = { name: "flowers", model: "R50x1", data: "/data/flowers", steps: 10 };

test("the same settings have the same id, in whatever order they were given", () => {
  const { name, model, data, steps = 10 } = settings;
  expect(requestIdOf({ steps, data, model, name })).toBe(requestIdOf(settings));
  expect(requestIdOf(settings)).toMatch(/^[0-9a-f]{32}$/);
});

test.each([{ steps: 11 }, { seed: 1 }, { name: "flower" }, { data: "/data/flowers2" }])(
  "others have another one: %j",
  (change) => {
    expect(requestIdOf({ ...settings, ...change })).not.toBe(requestIdOf(settings));
  },
);
