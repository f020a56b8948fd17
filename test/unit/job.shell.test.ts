import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { plural } from "../../src/job/plural.js";
import { shell } from "../../src/job/shell.js";

test.each([
  ["/data/flowers", "bitfleet data push /data/flowers NAME"],
  ["/my pictures", "bitfleet data push '/my pictures' NAME"],
  ["it's", "bitfleet data push 'it'\\''s' NAME"],
  ["~/a", "bitfleet data push '~/a' NAME"],
  ["$(rm -r x)", "bitfleet data push '$(rm -r x)' NAME"],
])("%j is one word of the command", async (path, expected) => {
  const line = shell`bitfleet data push ${path} NAME`;
  expect(line).toBe(expected);
  const script = `bitfleet() { printf '%s\\n' "$@"; }; ${line}`;
  const { stdout } = await promisify(execFile)("/bin/sh", ["-c", script]);
  expect(stdout.split("\n").slice(0, -1)).toEqual(["data", "push", path, "NAME"]);
});

test("units are in the plural but for one", () => {
  expect([0, 1, 2].map((count) => plural(count, "worker"))).toEqual([
    "0 workers",
    "1 worker",
    "2 workers",
  ]);
  expect([plural(1, "class"), plural(2, "class")]).toEqual(["1 class", "2 classes"]);
});
