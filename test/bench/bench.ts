import { benchBeats } from "./beats.js";
import { benchCheckpoint } from "./checkpoint.js";
import { benchCommit } from "./commit.js";
import { benchEngine } from "./engine.js";
import { benchExchange } from "./exchange.js";
import { benchJoin } from "./join.js";
import { benchTakeover } from "./takeover.js";
import { benchWatchers } from "./watchers.js";

/** `npm run bench -- NAME...`: one JSON object per result, one line each. */
const benches: Readonly<Record<string, () => AsyncIterable<object>>> = {
  async *beats() {
    for (const endedJobs of [0, 20_000]) yield await Promise.resolve(benchBeats(endedJobs));
  },
  async *takeover() {
    for (const endedJobs of [0, 20_000]) yield await benchTakeover(endedJobs);
  },
  async *watchers() {
    for (const watchers of [0, 300]) yield await benchWatchers(watchers);
  },
  async *engine() {
    for (const kind of ["recorded", "eager"] as const) yield await benchEngine(kind);
  },
  async *exchange() {
    for (const ranks of [2, 4]) yield await benchExchange(ranks);
  },
  async *commit() {
    yield await benchCommit(3);
  },
  async *checkpoint() {
    yield await benchCheckpoint();
  },
  async *join() {
    yield await benchJoin();
  },
};

const names = process.argv.slice(2);
const unknown = names.find((name) => !(name in benches));
if (unknown !== undefined || names.length === 0) {
  const problem = unknown === undefined ? "no bench is named" : `there is no bench ${unknown}`;
  console.error(`${problem}; there are ${Object.keys(benches).join(", ")}`);
  process.exit(2);
}
for (const name of names) {
  for await (const result of benches[name]?.() ?? []) console.log(JSON.stringify(result));
}
