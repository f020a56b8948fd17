import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { hasEnded, ownIdentity } from "../../src/process/identity.js";
import { temporaryFolder } from "./temporaryFolder.js";

function withPid(pid: number): string {
  const [namespace = "", , startedAt = ""] = ownIdentity().split("/");
  return `${namespace}/${pid}/${startedAt}`;
}

test("a process that is there has not ended, one of before with its id has", () => {
  expect(hasEnded(ownIdentity())).toBe(false);
  expect(hasEnded(`${ownIdentity()}1`)).toBe(true);
  expect(hasEnded(withPid(spawnSync("true").pid))).toBe(true);
});

test("a process that /proc does not show has ended only where there is none of its id", async () => {
  const hidden = await temporaryFolder();
  expect(hasEnded(ownIdentity(), hidden)).toBe(false);
  expect(hasEnded(withPid(spawnSync("true").pid), hidden)).toBe(true);
});
