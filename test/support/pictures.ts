import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { Random } from "../../src/plan/random.js";

/** Writes a folder per class of small noisy pictures whose brightness tells the class. */
export async function writePictures(
  folder: string,
  options: { readonly classes: number; readonly perClass: number; readonly seed?: number },
): Promise<void> {
  const random = new Random(options.seed ?? 11);
  for (let label = 0; label < options.classes; label += 1) {
    const own = join(folder, `class-${label}`);
    await mkdir(own, { recursive: true });
    const base = Math.floor((150 * label) / options.classes);
    for (let i = 0; i < options.perClass; i += 1) {
      const raw = { width: 24, height: 20, channels: 3 } as const;
      const pixels = Uint8Array.from({ length: 24 * 20 * 3 }, () => base + random.below(100));
      await sharp(pixels, { raw })
        .png()
        .toFile(join(own, `${i}.png`));
    }
  }
}
