import type { Random } from "../../src/plan/random.js";
import { chance, number, pick, word } from "./mutate.js";

/** JSON that still parses, with something in it changed: a value, a name, a list's length, a prototype. */
export function mutateJson(random: Random, json: string): string {
  const root: unknown = JSON.parse(json);
  for (let i = 1 + random.below(2); i > 0; i--) {
    const places = placesOf(root);
    if (places.length > 0) change(random, pick(random, places));
  }
  return chance(random, 0.02) ? JSON.stringify(other(random)) : JSON.stringify(root);
}

interface Place {
  readonly holder: object;
  readonly key: string;
}

function placesOf(value: unknown, places: Place[] = []): Place[] {
  if (typeof value !== "object" || value === null) return places;
  for (const [key, entry] of Object.entries(value).slice(0, 200)) {
    places.push({ holder: value, key });
    placesOf(entry, places);
  }
  return places;
}

function change(random: Random, { holder, key }: Place): void {
  const value: unknown = Reflect.get(holder, key);
  switch (random.below(6)) {
    case 0:
      Reflect.deleteProperty(holder, key);
      return;
    case 1:
      define(holder, pick(random, ["__proto__", "constructor", word(random)]), {
        polluted: true,
        toString: 1,
      });
      return;
    case 2:
      if (Array.isArray(value)) {
        const entries: unknown[] = value;
        define(
          holder,
          key,
          Array.from({ length: random.below(3000) }, () => entries[0] ?? 0),
        );
        return;
      }
      define(holder, word(random), value);
      return;
    default:
      define(holder, key, other(random));
  }
}

/** An own property, also where it is called `__proto__`. */
function define(holder: object, key: string, value: unknown): void {
  const how = { value, enumerable: true, configurable: true, writable: true };
  Object.defineProperty(holder, Array.isArray(holder) && key === "length" ? "0" : key, how);
}

function other(random: Random): unknown {
  const deep = (depth: number): unknown => (depth === 0 ? 1 : [deep(depth - 1)]);
  return pick(random, [
    ...[
      null,
      true,
      "",
      "1",
      0,
      -1,
      0.5,
      1e308,
      [],
      {},
      [[]],
      { a: 1 },
      word(random),
      number(random),
    ],
    ...[random.below(100), word(random).repeat(1 + random.below(30)), deep(1 + random.below(500))],
  ]);
}
