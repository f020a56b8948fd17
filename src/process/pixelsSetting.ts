import { numberOrDefault } from "./readSetting.js";

/** BITFLEET_PICTURE_PIXELS: the most that a picture may have. ConfigError names the variable, the value and the bound. */
export function pixelsSetting(variables: Readonly<Record<string, string | undefined>>): number {
  return numberOrDefault(variables, "BITFLEET_PICTURE_PIXELS");
}
