import { expect, test } from "vitest";
import { architecture, knownModels, parameterCount, tensors } from "../../src/bit/architecture.js";
import { ConfigError } from "../../src/job/problem.js";

// Counts for 10, 1000 and 21843 classes agree with the published models; arrays as in their npz.
test.each([
  ["R50x1", 153, 23_520_842, 25_549_352, 68_256_659],
  ["R50x3", 153, 211_235_530, 217_319_080, 345_399_315],
  ["R101x1", 306, 42_512_970, 44_541_480, 87_248_787],
  ["R101x3", 306, 381_851_338, 387_934_888, 516_015_123],
  ["R152x2", 459, 232_279_178, 236_335_208, 321_728_979],
  ["R152x4", 459, 928_422_154, 936_533_224, 1_107_299_923],
])(
  "%s has %i arrays and the published number of parameters",
  (name, arrays, ten, imagenet, im21k) => {
    const model = architecture(name);
    expect(tensors(model, 1000)).toHaveLength(arrays);
    expect([10, 1000, 21_843].map((classes) => parameterCount(model, classes))).toEqual([
      ten,
      imagenet,
      im21k,
    ]);
  },
);

test("the tensors fill the flat vector without gaps, sorted by code unit", () => {
  for (const name of [...knownModels, "1-1-1-1x0.5"]) {
    const specs = tensors(architecture(name), 7);
    const names = specs.map((spec) => spec.name);
    expect(names).toEqual([...names].sort());
    let offset = 0;
    for (const spec of specs) {
      expect(spec.offset).toBe(offset);
      expect(spec.size).toBe(spec.shape.reduce((product, extent) => product * extent, 1));
      offset += spec.size;
    }
    expect(parameterCount(architecture(name), 7)).toBe(offset);
  }
});

test("a tiny custom model has exactly the tensors of its four units", () => {
  const shapes = tensors(architecture("1-1-1-1x0.5"), 5).map(({ name, shape }) => [name, shape]);
  expect(shapes).toHaveLength(1 + 4 * 10 + 4);
  expect(shapes).toContainEqual(["resnet/root_block/standardized_conv2d/kernel", [7, 7, 3, 32]]);
  expect(shapes).toContainEqual([
    "resnet/block4/unit01/a/proj/standardized_conv2d/kernel",
    [1, 1, 512, 1024],
  ]);
  expect(shapes).toContainEqual(["resnet/head/conv2d/kernel", [1, 1, 1024, 5]]);
  expect(shapes.at(-1)?.[0]).toBe("resnet/root_block/standardized_conv2d/kernel");
});

test("only the first unit of a block projects", () => {
  const projections = tensors(architecture("R152x2"), 10).filter(({ name }) =>
    name.includes("/proj/"),
  );
  expect(projections.map(({ name }) => name.slice(0, "resnet/block1/unit01".length))).toEqual([
    "resnet/block1/unit01",
    "resnet/block2/unit01",
    "resnet/block3/unit01",
    "resnet/block4/unit01",
  ]);
});

test.each([
  "R50",
  "r50x1",
  "1-1-1x1",
  "0-1-1-1x1",
  "1-1-1-1x0",
  "1-1-1-1x0.25",
  "1-1-1-1x17",
  "1-1-1-1x00.5",
  "",
])("the model %j is refused with the list of what there is", (name) => {
  expect(() => architecture(name)).toThrow(ConfigError);
  expect(() => architecture(name)).toThrow(
    new RegExp(
      `model "${name}" is not known(, did you mean R50x1\\?)?: use R50x1, R50x3, .* 1-1-1-1x0\\.5`,
    ),
  );
});

test.each([
  ["3-4-6-3x1", [3, 4, 6, 3], 1],
  ["1-2-10-1x2.5", [1, 2, 10, 1], 2.5],
  ["1-1-1-1x0.5", [1, 1, 1, 1], 0.5],
])("the custom model %s is read", (name, units, width) => {
  expect(architecture(name)).toEqual({ name, units, width });
});
