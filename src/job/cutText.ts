/**
 * The one place where texts are cut. What comes out is well-formed and at most so long: no character is cut in two, and half a
 * surrogate pair, as a file name or another program may hold it, becomes U+FFFD. Everything that sends, keeps or shows a text of
 * others uses it: half a pair ends whoever encodes it for a header, and a text over its bound is refused by who receives it.
 */
const ellipsis = "…";
const replacement = "\ufffd";
const encoder = new TextEncoder();

/** At most `max` UTF-16 units. */
export function cut(text: string, max: number): string {
  return cutBy(text, max, (character) => character.length);
}

/** At most `max` bytes of UTF-8. */
export function cutBytes(text: string, max: number): string {
  return cutBy(text, max, utf8Bytes);
}

/** At most `max` bytes as `encodeURI` writes it, which is up to twelve for a character of four bytes. */
export function cutEncoded(text: string, max: number): string {
  return cutBy(text, max, (character) => encodeURI(character).length);
}

/** In quotes, for a sentence. */
export function quote(text: string, max = 80): string {
  return JSON.stringify(cut(text, max));
}

export function utf8Bytes(text: string): number {
  return encoder.encode(text).length;
}

export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, replacement);
}

function cutBy(text: string, max: number, sizeOf: (character: string) => number): string {
  // Every unit counts as one at least, so what is further behind changes nothing.
  const whole = wellFormed(text.length > max ? text.slice(0, max + 1) : text);
  const room = max - sizeOf(ellipsis);
  let size = 0;
  let end = 0;
  let kept = 0;
  for (const character of whole) {
    size += sizeOf(character);
    end += character.length;
    if (size <= room) kept = end;
    if (size > max) return `${whole.slice(0, kept)}${ellipsis}`;
  }
  return whole;
}
