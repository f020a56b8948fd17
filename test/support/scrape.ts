import parse from "parse-prometheus-text-format";

/** One value; a histogram is the three families it is written as. */
export interface Sample {
  readonly family: string;
  readonly type: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/**
 * A text of Prometheus, read by a parser that is not ours. It drops the labels of histograms, so those are shown to it as the
 * plain series that they consist of.
 */
export function samplesIn(text: string): readonly Sample[] {
  return parse(text.replace(/^# TYPE \S+ histogram$/gm, "")).flatMap(({ name, type, metrics }) =>
    metrics.map((metric) => ({
      ...{ family: name, type, labels: metric.labels ?? {} },
      value: Number(metric.value),
    })),
  );
}

/** The values with these labels among theirs, added up; undefined where there is none. */
export function valueOf(
  samples: readonly Sample[],
  family: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const found = samples.filter(
    (one) =>
      one.family === family &&
      Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  );
  return found.length === 0 ? undefined : found.reduce((sum, { value }) => sum + value, 0);
}
