import { describe, expect, test } from "vitest";
import {
  cut,
  cutBytes,
  cutEncoded,
  isWellFormed,
  quote,
  utf8Bytes,
  wellFormed,
} from "../../src/job/cutText.js";
import { Random } from "../../src/plan/random.js";

const smile = "😀";

test("what fits stays as it is, to the last unit or byte", () => {
  expect(cut("abcde", 5)).toBe("abcde");
  expect(cut(`abc${smile}`, 5)).toBe(`abc${smile}`);
  expect(cutBytes(`a${smile}`, 5)).toBe(`a${smile}`);
  expect(cutEncoded(`a b${smile}`, 17)).toBe(`a b${smile}`);
  expect(cut("", 5)).toBe("");
});

test("what does not is cut to its bound, and shows it", () => {
  expect(cut("abcdef", 5)).toBe("abcd…");
  expect(cutBytes("abcdefghi", 8)).toBe("abcde…");
  expect(cutEncoded("a b c d e f g h i j", 20)).toBe("a b c…");
});

test("no character is cut in two", () => {
  expect(cut(`abc${smile}ef`, 5)).toBe("abc…");
  expect(cut(smile.repeat(1500), 2048)).toBe(`${smile.repeat(1023)}…`);
});

test("half a pair from elsewhere becomes the mark for it", () => {
  expect(cut("a\ud83d", 5)).toBe("a\ufffd");
  expect(cut("\ude00a\ud83d\ud83d", 5)).toBe("\ufffda\ufffd\ufffd");
  expect(wellFormed(`${smile}\ud83d`)).toBe(`${smile}\ufffd`);
  expect(quote("\ud83d")).toBe('"\ufffd"');
});

describe.each([1, 2, 3])("whatever the text (SEED=%i)", (seed) => {
  test("it is well-formed, within its bound, and a beginning of what it was", () => {
    const random = new Random(seed);
    const pieces = ["a", " ", "%", "\n", "é", "数", smile, "\ud83d", "\ude00", "\ufffd", "…"];
    let cuts = 0;
    for (let i = 0; i < 3_000; i += 1) {
      const length = random.below(60);
      const text = Array.from({ length }, () => pieces[random.below(pieces.length)]).join("");
      const max = 12 + random.below(90);
      const sizes = [
        [cut(text, max), (value: string) => value.length],
        [cutBytes(text, max), utf8Bytes],
        [cutEncoded(text, max), (value: string) => encodeURI(value).length],
      ] as const;
      for (const [short, sizeOf] of sizes) {
        expect(isWellFormed(short)).toBe(true);
        expect(sizeOf(short)).toBeLessThanOrEqual(max);
        const whole = wellFormed(text);
        if (short === whole) continue;
        cuts += 1;
        expect(short.endsWith("…") && whole.startsWith(short.slice(0, -1))).toBe(true);
        // No character more would have fitted.
        const next = Array.from(whole.slice(short.length - 1))[0] ?? "";
        expect(sizeOf(`${short.slice(0, -1)}${next}…`)).toBeGreaterThan(max);
      }
    }
    expect(cuts).toBeGreaterThan(1_000);
  });
});
