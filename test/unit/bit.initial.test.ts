import { expect, test } from "vitest";
import { architecture, tensors } from "../../src/bit/architecture.js";
import { initialParameters } from "../../src/bit/initial.js";

const model = architecture("1-1-1-1x0.5");
const specs = tensors(model, 5);
const initial = initialParameters(model, 5, 0);

function values(name: string, of = initial): Float32Array {
  const spec = specs.find((candidate) => candidate.name === name);
  return spec === undefined
    ? new Float32Array()
    : of.subarray(spec.offset, spec.offset + spec.size);
}

test("the bits are those recorded: a change here changes the result of every untrained job", () => {
  expect([...values("resnet/root_block/standardized_conv2d/kernel").subarray(0, 3)]).toEqual([
    0.060252293944358826, -0.011753909289836884, 0.07380057126283646,
  ]);
  let checksum = 0;
  for (const word of new Uint32Array(initial.buffer)) checksum = (checksum + word) >>> 0;
  expect(checksum).toBe(2_853_464_082);
});

test("the head and every beta are zero and every gamma is one", () => {
  for (const { name } of specs) {
    const own = values(name);
    if (/\/head\/|beta$/.test(name)) expect(own.every((value) => value === 0)).toBe(true);
    if (name.endsWith("gamma")) expect(own.every((value) => value === 1)).toBe(true);
  }
});

test("every kernel of the body fills its range evenly", () => {
  const kernels = specs.filter(({ name }) => name.endsWith("standardized_conv2d/kernel"));
  expect(kernels).toHaveLength(1 + 4 * 4);
  for (const { name, shape } of kernels) {
    const [height = 0, width = 0, input = 0] = shape;
    const limit = Math.sqrt(1 / (height * width * input));
    const scaled = [...values(name)].map((value) => value / limit);
    expect(Math.max(...scaled.slice(0, 50_000))).toBeGreaterThan(0.98);
    expect(Math.min(...scaled.slice(0, 50_000))).toBeLessThan(-0.98);
    expect(scaled.every((value) => Math.abs(value) <= 1.000001)).toBe(true);
    const mean = scaled.reduce((sum, value) => sum + value, 0) / scaled.length;
    const variance = scaled.reduce((sum, value) => sum + value ** 2, 0) / scaled.length;
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(scaled.length));
    expect(Math.abs(variance - 1 / 3)).toBeLessThan(4 / Math.sqrt(scaled.length));
  }
});

test("another seed and another tensor have other values, the same seed has the same", () => {
  const bytes = (from: Float32Array): Buffer => Buffer.from(from.buffer);
  expect(bytes(initialParameters(model, 5, 0)).equals(bytes(initial))).toBe(true);
  const other = initialParameters(model, 5, 1);
  const name = "resnet/block1/unit01/a/standardized_conv2d/kernel";
  expect(values(name, other).subarray(0, 8)).not.toEqual(values(name).subarray(0, 8));
  const sets = specs
    .filter(({ shape }) => shape.length === 4 && shape[3] !== 5)
    .map((spec) => values(spec.name)[0]);
  expect(new Set(sets).size).toBe(sets.length);
});

test("the body does not depend on the number of classes", () => {
  const other = tensors(model, 10).find(({ name }) => name.startsWith("resnet/root"));
  const root = initialParameters(model, 10, 0).subarray(other?.offset);
  expect([...root]).toEqual([...values("resnet/root_block/standardized_conv2d/kernel")]);
});
