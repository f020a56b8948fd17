/** `npm run fuzz -- --kind K --inputs N --seed S`: spoilt inputs of one kind, or of all; a line of figures each. */
import { parseArgs } from "node:util";
import { fuzz, neverPassed } from "./fuzzing.js";
import { kinds } from "./kinds.js";

/** Code that is compiled along the way, and caches that have a bound, take some MB. */
const heapGrowthMax = 16 * 2 ** 20;

const { values } = parseArgs({
  options: {
    kind: { type: "string" },
    inputs: { type: "string", default: "10000" },
    seed: { type: "string", default: "1" },
    first: { type: "string", default: "0" },
  },
});
const chosen = kinds.filter(({ name }) => values.kind === undefined || name === values.kind);
if (chosen.length === 0) {
  console.error(`no kind ${values.kind ?? ""}: ${kinds.map(({ name }) => name).join(", ")}`);
  process.exitCode = 2;
}
const [inputs, seed, first] = [Number(values.inputs), Number(values.seed), Number(values.first)];
for (const kind of chosen) {
  const report = await fuzz(kind, { inputs, seed, first });
  console.log(JSON.stringify(report));
  // One input alone cannot pass every stage.
  const never = inputs >= 1000 ? neverPassed(report) : [];
  if (inputs >= 1000 && report.heapGrowthBytes > heapGrowthMax) {
    console.error(`${kind.name}: ${report.heapGrowthBytes} bytes were kept`);
    process.exitCode = 1;
  }
  if (never.length > 0) {
    console.error(`${kind.name}: no input passed ${never.join(", ")}`);
    process.exitCode = 1;
  }
}
