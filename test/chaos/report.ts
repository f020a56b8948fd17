/** The report at the end, for people. */
import type { Cost, Pause, Pauses, Spread } from "./measure.js";

export function costTable(costs: readonly Cost[]): readonly string[] {
  const head = ["fault", "times", "next commit: median", "95th", "worst", "after its end", "pause"];
  const rows = costs.map(({ kind, count, missed, nextMs, afterMs, pauseMs }) => [
    kind,
    missed === 0 ? String(count) : `${count} (+${missed} missed)`,
    ...spreadOf(nextMs),
    seconds(afterMs.worst),
    seconds(pauseMs),
  ]);
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  return [head, ...rows].map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  "),
  );
}

/** Of whole campaigns: whether faults that meet cost more than faults that come alone. */
export function pauseLine({ single, overlapping }: Pauses): string {
  return `median pause ${pauseWords(single)} single faults, ${pauseWords(overlapping)} overlapping ones`;
}

function pauseWords({ count, medianMs }: Pause): string {
  return `${medianMs === undefined ? "unknown" : seconds(medianMs)} after ${count}`;
}

function spreadOf({ median, p95, worst }: Spread): readonly string[] {
  return [median, p95, worst].map(seconds);
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
