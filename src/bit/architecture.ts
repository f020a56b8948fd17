import { ConfigError } from "../job/problem.js";

/**
 * The models of Big Transfer (BiT): pre-activation ResNets with group norm and standardized
 * convolutions. Names and shapes are those of the published npz files, so that weights can be
 * exchanged with them; the table is section 3 of the article (arXiv 1912.11370).
 */

/** Four blocks of bottleneck units; `width` scales every channel count. */
export interface Architecture {
  readonly name: string;
  readonly units: readonly [number, number, number, number];
  readonly width: number;
}

/** One tensor of the model: npz name, npz layout (convolutions HWIO), place in the flat vector. */
export interface TensorSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly size: number;
}

/** Group norm has this many groups everywhere, so every channel count is a multiple of it. */
export const groupCount = 32;

const rootChannels = 64;
const unitCountMax = 99; // A unit's number has two digits in the npz names.
const widthMax = 16;

const known: readonly Architecture[] = [
  { name: "R50x1", units: [3, 4, 6, 3], width: 1 },
  { name: "R50x3", units: [3, 4, 6, 3], width: 3 },
  { name: "R101x1", units: [3, 4, 23, 3], width: 1 },
  { name: "R101x3", units: [3, 4, 23, 3], width: 3 },
  { name: "R152x2", units: [3, 8, 36, 3], width: 2 },
  { name: "R152x4", units: [3, 8, 36, 3], width: 4 },
];

/** The names of the published models. */
export const knownModels: readonly string[] = known.map(({ name }) => name);

/**
 * The architecture called `name`: a published one, or a custom one like `1-1-1-1x0.5` (the unit
 * counts of the four blocks, then the width). Throws a ConfigError that lists what there is.
 */
export function architecture(name: string): Architecture {
  const found = known.find((candidate) => candidate.name === name) ?? custom(name);
  if (found !== undefined) return found;
  const meant = publishedAs(name);
  throw new ConfigError(
    `model "${name}" is not known${meant === undefined ? "" : `, did you mean ${meant}?`}: use ${knownModels.join(", ")}, or a custom one such as ` +
      `1-1-1-1x0.5 (unit counts of four blocks from 1 to ${unitCountMax}, then the width in ` +
      `steps of 0.5 up to ${widthMax})`,
  );
}

/** The model that is called so elsewhere: `r50x1`, `BiT-M-R50x1`, `resnetv2_50x1_bit`, and the nearest to `resnet50`. */
function publishedAs(name: string): string | undefined {
  const [, depth, width] = /(?:^|[^0-9])(50|101|152)(?:x([1-4]))?(?![0-9])/i.exec(name) ?? [];
  if (depth === undefined) return undefined;
  const exact = `R${depth}x${width ?? ""}`;
  return (
    knownModels.find((model) => model === exact) ??
    knownModels.find((model) => model.startsWith(`R${depth}x`))
  );
}

function custom(name: string): Architecture | undefined {
  const match = /^([1-9]\d?)-([1-9]\d?)-([1-9]\d?)-([1-9]\d?)x([1-9]\d?|(?:0|[1-9]\d?)\.5)$/.exec(
    name,
  );
  if (match === null) return undefined;
  const [a = 0, b = 0, c = 0, d = 0, width = 0] = match.slice(1).map(Number);
  return width <= widthMax ? { name, units: [a, b, c, d], width } : undefined;
}

/**
 * Every tensor of the model with `classes` outputs, sorted by npz name (by code unit), each with
 * its offset in elements into the flat vector of parameters.
 */
export function tensors({ units, width }: Architecture, classes: number): readonly TensorSpec[] {
  const shapes = new Map<string, readonly number[]>();
  const root = rootChannels * width;
  shapes.set("resnet/root_block/standardized_conv2d/kernel", [7, 7, 3, root]);

  let channels = root;
  units.forEach((unitCount, block) => {
    const middle = root * 2 ** block;
    for (let unit = 1; unit <= unitCount; unit += 1) {
      const prefix = `resnet/block${block + 1}/unit${String(unit).padStart(2, "0")}`;
      for (const [name, shape] of unitShapes(prefix, channels, middle)) shapes.set(name, shape);
      channels = 4 * middle;
    }
  });

  shapes.set("resnet/group_norm/gamma", [channels]);
  shapes.set("resnet/group_norm/beta", [channels]);
  shapes.set("resnet/head/conv2d/kernel", [1, 1, channels, classes]);
  shapes.set("resnet/head/conv2d/bias", [classes]);
  return placed(shapes);
}

/** The number of float32 parameters of the model with `classes` outputs. */
export function parameterCount(model: Architecture, classes: number): number {
  const last = tensors(model, classes).at(-1);
  return last === undefined ? 0 : last.offset + last.size;
}

/** Whether the tensor belongs to the head, whose size depends on the number of classes. */
export function isHead(name: string): boolean {
  return name.startsWith("resnet/head/");
}

/** A bottleneck unit: 1x1, 3x3, 1x1. Only a block's first unit changes shape, so only it projects. */
function unitShapes(
  prefix: string,
  channels: number,
  middle: number,
): readonly (readonly [string, readonly number[]])[] {
  const out = 4 * middle;
  const unit = [
    [`${prefix}/a/group_norm/gamma`, [channels]],
    [`${prefix}/a/group_norm/beta`, [channels]],
    [`${prefix}/a/standardized_conv2d/kernel`, [1, 1, channels, middle]],
    [`${prefix}/b/group_norm/gamma`, [middle]],
    [`${prefix}/b/group_norm/beta`, [middle]],
    [`${prefix}/b/standardized_conv2d/kernel`, [3, 3, middle, middle]],
    [`${prefix}/c/group_norm/gamma`, [middle]],
    [`${prefix}/c/group_norm/beta`, [middle]],
    [`${prefix}/c/standardized_conv2d/kernel`, [1, 1, middle, out]],
  ] as const;
  const projection = [
    `${prefix}/a/proj/standardized_conv2d/kernel`,
    [1, 1, channels, out],
  ] as const;
  return channels === out ? unit : [...unit, projection];
}

function placed(shapes: ReadonlyMap<string, readonly number[]>): readonly TensorSpec[] {
  let offset = 0;
  return [...shapes]
    .sort(([a], [b]) => (a < b ? -1 : 1)) // `<` compares strings by code unit.
    .map(([name, shape]) => {
      const size = shape.reduce((product, extent) => product * extent, 1);
      const spec = { name, shape, offset, size };
      offset += size;
      return spec;
    });
}
