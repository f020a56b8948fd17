import { deflateSync, inflateSync, crc32 } from "node:zlib";
import sharp from "sharp";
import { decodePicture } from "../../src/data/picture.js";
import type { Random } from "../../src/plan/random.js";
import { hold, type Kind } from "./kind.js";
import { chance, mutate, pick } from "./mutate.js";

const formats = ["jpeg", "png", "webp", "gif"] as const;

export const pictureKind: Kind = {
  name: "picture",
  stages: [
    { name: "bytes", refusal: /the file is empty|bytes are more than/ },
    { name: "format", refusal: /is not a JPEG, PNG, WebP or GIF/ },
    { name: "pixels bounded", refusal: /more than \d+ pixels|dimensions|too large|out of bounds/i },
    { name: "decoded", refusal: /cannot be read: ./ },
  ],
  open: async () => {
    const raw = { width: 24, height: 20, channels: 3 } as const;
    const pixels = Uint8Array.from({ length: 24 * 20 * 3 }, (_, i) => (i * 7919) % 251);
    const picture = sharp(pixels, { raw });
    // Loaders are blocked, savers not.
    const samples = await Promise.all(
      formats.map((format) => picture.clone().toFormat(format).toBuffer()),
    );
    const [, png = Buffer.alloc(0)] = samples;
    return {
      feed: async (random) => {
        const sample = pick(random, samples);
        const bytes = chance(random, 0.4)
          ? spoiltPng(random, png)
          : chance(random, 0.01)
            ? Buffer.alloc(0)
            : mutate(random, sample, pick(random, samples));
        const { width, height, pixels: decoded } = await decodePicture(bytes, "a.png");
        hold(decoded.length === width * height * 3, `${decoded.length} bytes of pixels`);
        hold(width * height <= 50_000_000, `${width} x ${height} pixels`);
      },
    };
  },
};

/** A chunk changed, with a checksum that fits; in the pixels' own chunk what is compressed is changed. */
function spoiltPng(random: Random, png: Buffer): Buffer {
  const chunks: { readonly type: string; readonly data: Buffer }[] = [];
  for (let at = 8; at + 12 <= png.length;) {
    const length = png.readUInt32BE(at);
    const type = png.toString("latin1", at + 4, at + 8);
    chunks.push({ type, data: png.subarray(at + 8, at + 8 + length) });
    at += 12 + length;
  }
  const chosen = pick(random, chunks);
  const changed = chunks.map((chunk) => {
    if (chunk !== chosen) return chunk;
    if (chunk.type === "IHDR") return { ...chunk, data: spoiltHeader(random, chunk.data) };
    if (chunk.type !== "IDAT") return { ...chunk, data: mutate(random, chunk.data) };
    return { ...chunk, data: deflateSync(mutate(random, inflateSync(chunk.data))) };
  });
  return Buffer.concat([png.subarray(0, 8), ...changed.map(encodeChunk)]);
}

function spoiltHeader(random: Random, header: Buffer): Buffer {
  const data = Buffer.from(header);
  data.writeUInt32BE(pick(random, [0, 1, 24, 40_000, 2 ** 31 - 1, random.uint32()]), 0);
  if (chance(random, 0.5)) data.writeUInt32BE(pick(random, [0, 1, 20, 40_000, 0xffffffff]), 4);
  if (chance(random, 0.3)) data[8 + random.below(5)] = random.below(256);
  return data;
}

function encodeChunk({ type, data }: { readonly type: string; readonly data: Buffer }): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(data.length);
  chunk.set(body, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}
