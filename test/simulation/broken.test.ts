import { expect, test } from "vitest";
import { brokenCopies } from "./broken/copies.js";
import { runSimulate } from "./runSimulate.js";

test("every broken copy of the code is seen by the simulation", async () => {
  const told = await runSimulate(["--broken", "--seeds", "40"]);
  expect(told).not.toContain("NOT SEEN");
  expect(told).toContain(`${brokenCopies.length} of ${brokenCopies.length} broken copies are seen`);
}, 300_000);
