import { register } from "node:module";
import { brokenCopies } from "./copies.js";

/**
 * Simulates one broken copy, `one.js PLACE SEEDS`, until a seed is wrong; says which and how, or
 * nothing. A process of its own, since modules are loaded once.
 */
const [place, seeds] = process.argv.slice(2).map(Number);
const copy = brokenCopies[place ?? -1];
if (copy === undefined) throw new Error(`no broken copy ${String(place)}`);
register("./hook.js", import.meta.url, { data: copy });
// Before the hook was there nothing of the code under test may have been loaded.
const { simulate, simulationDefaults } = await import("../control/simulation.js");
const options = { ...simulationDefaults, ...copy.options };
for (let seed = 0; seed < (seeds ?? 0); seed += 1) {
  const wrong = await seen(seed);
  if (wrong === undefined) continue;
  console.log(`seed ${seed}: ${wrong}`);
  process.exit(0);
}

async function seen(seed: number): Promise<string | undefined> {
  try {
    const { mistakes } = await simulate(seed, options);
    return mistakes[0];
  } catch (error) {
    return String(error);
  }
}
