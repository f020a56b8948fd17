import { pixelsMaxDefault } from "../data/pictureBounds.js";
import { ConfigError } from "../job/problem.js";

/** The decoder's own bound. */
const pixelsLimit = 1_000_000_000;

/** BITFLEET_PICTURE_PIXELS: the most that a picture may have. ConfigError names the variable, the value and the bound. */
export function pixelsSetting(variables: Readonly<Record<string, string | undefined>>): number {
  const value = variables["BITFLEET_PICTURE_PIXELS"] ?? "";
  if (value === "") return pixelsMaxDefault;
  const pixels = Number(value);
  if (/^\d{1,10}$/.test(value) && pixels >= 1 && pixels <= pixelsLimit) return pixels;
  throw new ConfigError(
    `BITFLEET_PICTURE_PIXELS is "${value}", but must be a whole number from 1 to ${pixelsLimit}`,
  );
}
