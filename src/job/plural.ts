/** "1 worker", "2 workers": the unit is given in the singular. */
export function plural(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
