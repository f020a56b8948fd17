import sharp, { type Metadata } from "sharp";
import { cut } from "../job/cutText.js";
import { ConfigError, reasonOf } from "../job/problem.js";
import { Budget } from "./budget.js";
import { fileBytesMax, pixelsMaxDefault } from "./pictureBounds.js";
import type { Picture } from "./resize.js";

export interface PixelBound {
  /** A picture of more is refused by its header, before anything is decoded. */
  readonly pixelsMax: number;
  /** Whether it was read before, and has just so many. */
  readonly isKnown?: boolean;
}

/** Of the memory that pictures take while they are decoded, all together: one of a process' threads decodes for it. */
const decoding = new Budget(768 * 2 ** 20);
/** A picture that is known to have no more is not worth a look at its header. */
const smallPixels = 1_000_000;

// Every loader of libvips is one more parser open to strangers' bytes, so only the four that we
// promise are left. Pictures are decoded many at a time; threads inside one would only compete.
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({
  operation: [
    "VipsForeignLoadJpeg",
    "VipsForeignLoadPng",
    "VipsForeignLoadWebp",
    "VipsForeignLoadNsgif",
  ],
});
sharp.cache(false);
sharp.concurrency(1);

/** Names everything that decides a decoded pixel. Part of the numerics class. */
export function decoderVersion(): string {
  const { vips, mozjpeg, png, webp, lcms } = sharp.versions;
  const known = { sharp: sharp.versions.sharp, vips, mozjpeg, png, webp, lcms };
  return Object.entries(known)
    .flatMap(([name, version]) => (version === undefined ? [] : [`${name} ${version}`]))
    .join(", ");
}

/**
 * Decodes the bytes of one JPEG, PNG, WebP or GIF: upright by its EXIF orientation, first frame, in
 * sRGB (sharp's default; embedded profiles and four-ink JPEGs are converted), 16-bit samples scaled to 8, gray as
 * three equal channels. Transparent pixels are laid on black, so that the colours hidden under them,
 * which differ by the program that wrote the file, never reach the model.
 *
 * `name` is the file as the user knows it; ConfigError carries it and the reason. `use` gets the picture while its memory is
 * counted, and returns what is kept of it.
 */
export async function withPicture<T>(
  bytes: Uint8Array,
  name: string,
  use: (picture: Picture) => T,
  bound: PixelBound = { pixelsMax: pixelsMaxDefault },
): Promise<T> {
  if (bytes.length === 0) throw unreadable(name, "the file is empty");
  if (bytes.length > fileBytesMax) {
    throw unreadable(name, `${bytes.length} bytes are more than ${fileBytesMax}`);
  }
  const options = { failOn: "error", limitInputPixels: bound.pixelsMax, pages: 1 } as const;
  const orRefuse = (error: unknown): never => {
    throw unreadable(name, inOurWords(error, bound.pixelsMax), error);
  };
  const isSmall = bound.isKnown === true && bound.pixelsMax <= smallPixels;
  const weight = isSmall
    ? 0
    : weightOf(await sharp(bytes, options).metadata().catch(orRefuse), bound.pixelsMax);
  return decoding.run(weight, async () => {
    const { data, info } = await sharp(bytes, options)
      .autoOrient()
      .flatten({ background: "#000000" })
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true })
      .catch(orRefuse);
    if (info.channels !== 3) throw unreadable(name, `it has ${info.channels} channels`);
    return use({ width: info.width, height: info.height, pixels: data });
  });
}

/** As `withPicture`, for who keeps all of it. */
export function decodePicture(
  bytes: Uint8Array,
  name: string,
  bound?: PixelBound,
): Promise<Picture> {
  return withPicture(bytes, name, (picture) => picture, bound);
}

/** Bytes that decoding takes, as measured per pixel: the result, and what else the kind of file needs whole in memory. */
function weightOf(header: Metadata, pixelsMax: number): number {
  const { width, height, format, isProgressive, orientation = 1, hasAlpha, depth } = header;
  const perPixel =
    4 +
    (orientation > 1 ? 3 : 0) +
    (isProgressive || format === "webp" || format === "gif" ? 6 : 0) +
    (hasAlpha || depth !== "uchar" ? 4 : 0);
  return Math.min(width * height, pixelsMax) * perPixel;
}

function unreadable(name: string, reason: string, cause?: unknown): ConfigError {
  return new ConfigError(`the picture ${name} cannot be read: ${reason}`, { cause });
}

/** What sharp and libvips say, in our words where theirs mislead. Theirs may quote bytes of the file. */
function inOurWords(error: unknown, pixelsMax: number): string {
  const text = reasonOf(error);
  if (text.includes("exceeds pixel limit"))
    return `it has more than ${pixelsMax} pixels; BITFLEET_PICTURE_PIXELS allows more`;
  if (text.includes("unsupported image format")) return "it is not a JPEG, PNG, WebP or GIF";

  return cut((text.split("\n")[0] ?? "").replace(/[\u0000-\u001f\u007f-\u009f]/g, " "), 200);
}
