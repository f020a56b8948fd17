import { expect, test } from "vitest";
import { faultNames } from "./control/faults.js";
import { runSimulate } from "./runSimulate.js";

/** How many fleets are simulated; `npm test` asks for many. */
const count = Number(process.env["SEEDS"] ?? 100);

test("every job of many fleets ends with the bits of one worker through any fault", async () => {
  const told = await runSimulate(["--seeds", String(count)]);
  expect(told).toMatch(new RegExp(`^${count} seeds: .*, 0 seeds wrong$`, "m"));
  const [, rounds, faults] =
    /^every seed had at least (\d+) rounds and (\d+) faults$/m.exec(told) ?? [];
  expect(Number(rounds)).toBeGreaterThanOrEqual(50);
  expect(Number(faults)).toBeGreaterThanOrEqual(5);
  // The rarest happens in one seed of some dozens.
  if (count < 200) return;
  const missing = faultNames.filter(
    (name) => !new RegExp(`^ +[1-9]\\d*  ${name}$`, "m").test(told),
  );
  expect(missing, "faults that never fired").toEqual([]);
}, 1_200_000);
