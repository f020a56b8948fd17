/** "1 worker", "2 workers", "3 classes": the unit is given in the singular. */
export function plural(count: number, unit: string): string {
  if (count === 1) return `1 ${unit}`;
  return `${count} ${unit}${unit.endsWith("s") ? "es" : "s"}`;
}
