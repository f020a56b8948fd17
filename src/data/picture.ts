import sharp from "sharp";
import { cut } from "../job/cutText.js";
import { ConfigError, reasonOf } from "../job/problem.js";
import { fileBytesMax } from "./pictureBounds.js";
import type { Picture } from "./resize.js";

/** A picture is refused beyond these, by its header, before anything is decoded. */
const limitInputPixels = 50_000_000;

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
 * `name` is the file as the user knows it; ConfigError carries it and the reason.
 */
export async function decodePicture(bytes: Uint8Array, name: string): Promise<Picture> {
  if (bytes.length === 0) throw unreadable(name, "the file is empty");
  if (bytes.length > fileBytesMax) {
    throw unreadable(name, `${bytes.length} bytes are more than ${fileBytesMax}`);
  }
  try {
    const { data, info } = await sharp(bytes, { failOn: "error", limitInputPixels, pages: 1 })
      .autoOrient()
      .flatten({ background: "#000000" })
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw unreadable(name, `it has ${info.channels} channels`);
    return { width: info.width, height: info.height, pixels: data };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw unreadable(name, inOurWords(error), error);
  }
}

function unreadable(name: string, reason: string, cause?: unknown): ConfigError {
  return new ConfigError(`the picture ${name} cannot be read: ${reason}`, { cause });
}

/** What sharp and libvips say, in our words where theirs mislead. Theirs may quote bytes of the file. */
function inOurWords(error: unknown): string {
  const text = reasonOf(error);
  if (text.includes("exceeds pixel limit")) return `it has more than ${limitInputPixels} pixels`;
  if (text.includes("unsupported image format")) return "it is not a JPEG, PNG, WebP or GIF";

  return cut((text.split("\n")[0] ?? "").replace(/[\u0000-\u001f\u007f-\u009f]/g, " "), 200);
}
