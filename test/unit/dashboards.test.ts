import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parser } from "@prometheus-io/lezer-promql";
import { load } from "js-yaml";
import { expect, test } from "vitest";
import { CoordinatorMetrics } from "../../coordinator/metrics.js";
import { WorkerMetrics } from "../../worker/metrics.js";
import { at, listAt } from "../support/at.js";
import { FleetDriver } from "./fleetDriver.js";

const files = join(import.meta.dirname, "../../deploy/chart/bitfleet/files");
const rules = listAt(
  listAt(load(readFileSync(join(files, "prometheus/bitfleet.yaml"), "utf8")), "groups")[0],
  "rules",
);
const dashboard: unknown = JSON.parse(readFileSync(join(files, "grafana/bitfleet.json"), "utf8"));
const panels = listAt(dashboard, "panels");
const expressions = [
  ...rules.map((rule) => String(at(rule, "expr"))),
  ...panels.flatMap((panel) => listAt(panel, "targets").map((one) => String(at(one, "expr")))),
];

/** Names and label names that the real registries export, with whatever comes of a histogram. */
async function exported(): Promise<{
  readonly names: ReadonlySet<string>;
}> {
  const { fleet } = FleetDriver.started(["a"]);
  const surroundings = { fleet, isLeader: true, term: 1, nowMs: 0, wallMs: 0, disk: undefined };
  const texts = [
    await new CoordinatorMetrics().text(surroundings),
    await new WorkerMetrics().text(),
  ];
  const names = new Set<string>();
  for (const [, name = "", type] of texts.join("\n").matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
    const suffixes = type === "histogram" ? ["_bucket", "_sum", "_count"] : [""];
    for (const suffix of suffixes) names.add(`${name}${suffix}`);
  }
  return { names };
}

/** The metrics that an expression asks for; throws where it is no PromQL. */
function metricsIn(expression: string): readonly string[] {
  const names: string[] = [];
  parser.parse(expression).iterate({
    enter: ({ type, from, to }) => {
      if (type.isError) throw new Error(`no PromQL at ${from}: ${expression}`);
      const isName = type.name === "Identifier";
      if (isName) names.push(expression.slice(from, to));
    },
  });
  return names.filter((name) => /^(bitfleet|nodejs|process)_/.test(name));
}

test("every metric of a rule or a panel is one that the processes export", async () => {
  const { names } = await exported();
  expect(expressions.length).toBeGreaterThan(20);
  for (const expression of expressions) {
    const asked = metricsIn(expression);
    expect(asked, expression).not.toEqual([]);
    for (const name of asked) expect(names, expression).toContain(name);
  }
});

test("what is no PromQL, or asks for what nobody exports, is noticed", async () => {
  expect(() => metricsIn("sum(rate(bitfleet_steps_total[5m])")).toThrow("no PromQL");
  expect((await exported()).names).not.toContain("bitfleet_stepps_total");
  expect(metricsIn("rate(bitfleet_steps_total[5m])")).toEqual(["bitfleet_steps_total"]);
});

test("rules have names of their own, a severity and a summary; panels have their own ids", () => {
  const alerts = rules.map((rule) => at(rule, "alert"));
  expect(new Set(alerts).size).toBe(rules.length);
  for (const rule of rules) {
    expect(["warning", "critical"]).toContain(at(rule, "labels", "severity"));
    expect(String(at(rule, "annotations", "summary"))).toMatch(/\.$/);
  }
  expect(new Set(panels.map((panel) => at(panel, "id"))).size).toBe(panels.length);
});
