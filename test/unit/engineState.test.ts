import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";

import { architecture, tensors } from "../../src/bit/architecture.js";
import { bitSum, joinedChecksum } from "../../src/engine/checksum.js";
import { createEngine } from "../../src/engine/recordedEngine.js";
import { recordEngine } from "../../src/engine/recording.js";
import {
  batchFor,
  bitsOf,
  engineOf,
  gradientOf,
  scratch,
  tf,
  tiny,
  weightsFor,
} from "./engineFixtures.js";

afterAll(() => rmSync(scratch, { recursive: true }));

const table = tensors(tiny.architecture, tiny.classes);

describe.each(["eager", "recorded"] as const)("the %s engine", (kind) => {
  test("keeps exactly the bits that were written, whatever becomes of the caller's array", () => {
    const engine = engineOf(kind, tiny);
    const parameters = weightsFor(tiny);
    parameters.set([-0, 1e-42, -1e-45, Infinity, NaN]);
    const momentum = parameters.map((value) => value / 3);
    const [wanted, wantedMomentum] = [parameters.slice(), momentum.slice()];
    engine.write(parameters, momentum);
    parameters.fill(7);
    momentum.fill(8);
    const state = engine.read();
    expect(bitsOf(state.parameters).equals(bitsOf(wanted))).toBe(true);
    expect(bitsOf(state.momentum).equals(bitsOf(wantedMomentum))).toBe(true);

    engine.write(wanted, undefined);
    expect(engine.read().momentum.every((value) => Object.is(value, 0))).toBe(true);
    engine.dispose();
  });

  test("gives each example the loss of its own logits, however large the others' are", () => {
    const engine = engineOf(kind, tiny);
    const parameters = weightsFor(tiny);
    for (const { name, offset, size } of table) {
      if (!name.startsWith("resnet/head/")) continue;
      parameters.set(
        parameters.subarray(offset, offset + size).map((value) => value * 1e5),
        offset,
      );
    }
    engine.write(parameters, undefined);
    const batch = batchFor(tiny, 3);
    const logits = engine.logits(batch.images);
    const rows = Array.from(batch.labels, (label, i) => {
      const row = [...logits.subarray(i * tiny.classes, (i + 1) * tiny.classes)];
      return { max: Math.max(...row), row, label };
    });
    const peaks = rows.map(({ max }) => max);
    expect(Math.max(...peaks) - Math.min(...peaks)).toBeGreaterThan(200);
    const losses = rows.map(({ max, row, label }) => {
      const total = row.reduce((sum, value) => sum + Math.exp(value - max), 0);
      return max + Math.log(total) - (row[label] ?? NaN);
    });
    const wanted = losses.reduce((sum, loss) => sum + loss, 0);
    const { lossSum, finite } = gradientOf(engine, [batch]);
    expect(finite).toBe(true);
    expect(Math.abs(lossSum - wanted)).toBeLessThan(1e-5 * wanted);
    expect(Math.abs(engine.evaluate(batch).lossSum - wanted)).toBeLessThan(1e-5 * wanted);
    engine.dispose();
  });

  test("leaves what it has handed out alone when it trains on", () => {
    const engine = engineOf(kind, tiny);
    engine.write(weightsFor(tiny), undefined);
    const { gradient } = gradientOf(engine, [batchFor(tiny, 1)]);
    const [state, copy] = [engine.read(), gradient.slice()];
    const before = state.parameters.slice();
    engine.apply(gradient, { count: 8, rate: 0.1, momentum: 0.9, weightDecay: 0 });
    gradientOf(engine, [batchFor(tiny, 2)]);
    expect(bitsOf(state.parameters).equals(bitsOf(before))).toBe(true);
    expect(bitsOf(gradient).equals(bitsOf(copy))).toBe(true);
    engine.dispose();
  });

  test("updates as SGD with momentum and weight decay does", () => {
    const engine = engineOf(kind, tiny);
    const parameters = weightsFor(tiny);
    const momentum = new Float32Array(parameters.length).fill(2);
    const sum = new Float32Array(parameters.length).fill(3);
    engine.write(parameters, momentum);
    engine.apply(sum, { count: 4, rate: 0.5, momentum: 0.25, weightDecay: 0.125 });
    const state = engine.read();
    const { offset } = found("resnet/group_norm/gamma"); // No kernel: sum / count is its gradient.
    const weight = parameters[offset] ?? NaN;
    const velocity = 0.25 * 2 + 3 / 4 + 0.125 * weight;
    expect(state.momentum[offset]).toBeCloseTo(velocity, 5);
    expect(state.parameters[offset]).toBeCloseTo(weight - 0.5 * velocity, 5);
    engine.dispose();
  });

  test("says that a gradient is not finite, and starts the next one from nothing", () => {
    const engine = engineOf(kind, tiny);
    const broken = weightsFor(tiny);
    broken[found("resnet/head/conv2d/bias").offset] = NaN;
    engine.write(broken, undefined);
    expect(gradientOf(engine, [batchFor(tiny, 1)]).finite).toBe(false);

    engine.write(weightsFor(tiny), undefined);
    const first = gradientOf(engine, [batchFor(tiny, 1)]);
    expect(first.finite).toBe(true);
    const again = gradientOf(engine, [batchFor(tiny, 1)]);
    expect(bitsOf(again.gradient).equals(bitsOf(first.gradient))).toBe(true);
    expect(again.lossSum).toBe(first.lossSum);
    const none = gradientOf(engine, []);
    expect(none.gradient.every((value) => value === 0)).toBe(true);
    expect(none).toMatchObject({ lossSum: 0, finite: true });
    engine.dispose();
  });

  test("gives the checksum of the parameters' bits, after an update too", () => {
    const engine = engineOf(kind, tiny);
    const parameters = weightsFor(tiny);
    engine.write(parameters, undefined);
    const before = engine.parameterChecksum();
    expect(before).toBe(checksumOf(parameters));
    const { gradient } = gradientOf(engine, [batchFor(tiny, 1)]);
    const after = engine.apply(gradient, { count: 8, rate: 0.1, momentum: 0.9, weightDecay: 0 });
    expect(after).toBe(checksumOf(engine.read().parameters));
    expect(after).toBe(engine.parameterChecksum());
    expect(after).not.toBe(before);
    engine.dispose();
  });
});

test("the recorded engine shares no memory with the caller, wherever in memory that is", () => {
  // TensorFlow uses what it is fed in place where it lies on a multiple of 64 bytes: one of 16.
  const engine = engineOf("recorded", tiny);
  const wanted = weightsFor(tiny);
  const memory = new Float32Array(new SharedArrayBuffer(4 * (wanted.length + 16)));
  for (let start = 0; start < 16; start += 1) {
    const view = memory.subarray(start, start + wanted.length);
    view.set(wanted);
    engine.write(view, view);
    view.fill(7);
    const state = engine.read();
    expect(bitsOf(state.parameters).equals(bitsOf(wanted))).toBe(true);
    expect(bitsOf(state.momentum).equals(bitsOf(wanted))).toBe(true);
  }
  engine.dispose();
});

test("the checksum notices one bit, and two tensors that changed places", () => {
  const values = Float32Array.of(1, 2, 3);
  const flipped = Float32Array.of(1, 2, 3.0000002384185791015625);
  expect(bitSum(flipped)).toBe(bitSum(values) + 1);
  expect(joinedChecksum([5, 6])).not.toBe(joinedChecksum([6, 5]));
});

test("two engines with the same threads give the same bits", () => {
  const spec = { ...tiny, mixup: true };
  const [one, two] = [1, 2].map(() => {
    const engine = engineOf("recorded", spec);
    engine.write(weightsFor(spec), undefined);
    for (const seed of [1, 2, 3]) {
      const { gradient } = gradientOf(engine, [batchFor(spec, seed), batchFor(spec, seed + 10)]);
      engine.apply(gradient, { count: 16, rate: 0.01, momentum: 0.9, weightDecay: 1e-4 });
    }
    const state = engine.read();
    engine.dispose();
    return Buffer.concat([bitsOf(state.parameters), bitsOf(state.momentum)]);
  });
  expect(one?.equals(two ?? Buffer.alloc(0))).toBe(true);
});

test("an engine removes its files, and its calls leave no tensors behind", () => {
  const folder = mkdtempSync(path.join(scratch, "files-"));
  const engine = createEngine(tf, tiny, folder);
  engine.write(weightsFor(tiny), undefined);
  const round = (): void => {
    const { gradient } = gradientOf(engine, [batchFor(tiny, 1)]);
    engine.apply(gradient, { count: 8, rate: 0.01, momentum: 0.9, weightDecay: 0 });
    engine.evaluate(batchFor(tiny, 2));
    engine.read();
  };
  round();
  const { numTensors } = tf.memory();
  round();
  expect(tf.memory().numTensors).toBe(numTensors);
  expect(readdirSync(folder)).toHaveLength(1);
  engine.dispose();
  expect(readdirSync(folder)).toEqual([]);
});

test("the same spec is recorded as the same bytes, another one as others", () => {
  const [first, second] = [recordEngine(tf, tiny), recordEngine(tf, tiny)];
  expect(Buffer.from(second.savedModel).equals(first.savedModel)).toBe(true);
  const other = recordEngine(tf, { ...tiny, mixup: true });
  expect(Buffer.from(other.savedModel).equals(first.savedModel)).toBe(false);
});

test("the recording of the largest model holds no weights and stays far below protobuf's 2 GB", () => {
  const spec = { ...tiny, architecture: architecture("R152x4"), classes: 21_843, side: 480 };
  expect(recordEngine(tf, spec).savedModel.length).toBeLessThan(2 ** 24);
});

test("a vector of the wrong length is refused", () => {
  const engine = engineOf("recorded", tiny);
  const short = new Float32Array(5);
  expect(() => engine.write(short, undefined)).toThrow("5 values for 2012453 parameters");
  expect(() => engine.take(short)).toThrow("5 values for 2012453 parameters");
  engine.dispose();
});

function found(name: string): { readonly offset: number; readonly size: number } {
  const spec = table.find((tensor) => tensor.name === name);
  if (spec === undefined) throw new Error(`no tensor ${name}`);
  return spec;
}

function checksumOf(flat: Float32Array): number {
  return joinedChecksum(
    table.map(({ offset, size }) => bitSum(flat.subarray(offset, offset + size))),
  );
}
