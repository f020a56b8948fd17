import { expect, test } from "vitest";
import { rate } from "../../src/bit/recipe.js";
import type { DataSummary } from "../../src/job/decisions.js";
import { describePlan } from "../../src/job/describePlan.js";
import { expectedMemory } from "../../src/job/memory.js";
import { architecture } from "../../src/bit/architecture.js";
import { planJob } from "../../src/job/plan.js";
import { ConfigError } from "../../src/job/problem.js";
import { checkSettings } from "../../src/job/request.js";
import { samplePlan } from "../../src/job/samplePlan.js";
import type { JobRequest } from "../../src/job/settings.js";
import { Sampler } from "../../src/plan/sampler.js";

const least: JobRequest = { name: "digits", model: "1-1-1-1x0.5", data: "/data/digits" };
const data: DataSummary = {
  classes: ["five", "six", "seven"],
  trainingCounts: [100, 90, 110],
  validationCounts: [10, 20, 30],
  medianWidth: 28,
  medianHeight: 28,
  leftOut: [],
  digest: "d1",
};

test("the least request gets everything from the hyper-rule", () => {
  const plan = planJob(least, data);
  expect(plan.settings).toEqual({
    ...least,
    validation: "",
    validationFraction: 0.1,
    recipe: "hyperrule",
    weights: "",
    seed: 0,
    steps: 500,
    batch: 512,
    shards: 32,
    microBatch: 16,
    rate: 0.003,
    warmupSteps: 100,
    drops: [0.4, 0.6, 0.8],
    momentum: 0.9,
    weightDecay: 0,
    resize: 160,
    crop: 128,
    noCrop: false,
    noFlip: false,
    mixup: 0,
    examplesPerClass: 0,
    evalEvery: 0,
    checkpointEvery: 50,
    keepCheckpoints: 3,
    minWorkers: 1,
    threads: 1,
    priority: 0,
    audit: 256,
    mixedDevices: false,
  });
  expect(plan).toMatchObject({
    schedule: { baseRate: 0.003, warmupSteps: 100, boundaries: [200, 300, 400], steps: 500 },
    classes: data.classes,
    trainingExamples: 300,
    validationExamples: 60,
    shardSize: 16,
    overridden: [],
  });
});

test("a plan's settings are complete, pass their own check, and plan to themselves", () => {
  for (const request of [
    least,
    { ...least, recipe: "upstream", rate: 0.015, steps: 80, warmupSteps: 20, resize: 36, crop: 32 },
    { ...least, noCrop: true, crop: 32, drops: [0.3, 0.6, 0.9], steps: 60, weights: "job:a" },
  ] satisfies readonly JobRequest[]) {
    const plan = planJob(request, data);
    expect(checkSettings(plan.settings)).toEqual(plan.settings);
    expect(JSON.parse(JSON.stringify(plan))).toEqual(plan); // as it is kept in the record
    expect(planJob(plan.settings, data)).toEqual(plan);
  }
});

test("the number of examples, after the few-shot selection, decides schedule and MixUp", () => {
  const large = { ...data, trainingCounts: [10_000, 10_000, 10_000], medianWidth: 500 };
  const full = planJob(least, large);
  expect(full.settings).toMatchObject({ steps: 10_000, mixup: 0.1, resize: 512, crop: 480 });
  expect(full.settings.drops).toEqual([0.3, 0.6, 0.9]);
  expect(full.settings.checkpointEvery).toBe(100);
  const few = planJob({ ...least, examplesPerClass: 10 }, large);
  expect(few).toMatchObject({ trainingExamples: 30, settings: { steps: 500, mixup: 0 } });
});

test("with other steps the boundaries keep the row's proportions, and only steps is overridden", () => {
  const plan = planJob({ ...least, steps: 60 }, data);
  expect(plan.schedule).toMatchObject({ warmupSteps: 12, boundaries: [24, 36, 48], steps: 60 });
  expect(plan.overridden).toEqual([{ setting: "steps", ruleValue: 500, value: 60 }]);
  expect(plan.settings.checkpointEvery).toBe(6);
});

test("drops stated by hand are fractions of the steps", () => {
  const plan = planJob({ ...least, steps: 50, drops: [0.3, 0.6, 0.9] }, data);
  expect(plan.schedule.boundaries).toEqual([15, 30, 45]);
  expect(rate(plan.schedule, 15)).toBe(0.003);
  expect(rate(plan.schedule, 16)).toBe(0.003 / 10);
  expect(plan.overridden.map(({ setting }) => setting)).toEqual(["steps", "drops"]);
});

test("the demo's upstream job is as it was tried", () => {
  const request: JobRequest = {
    ...least,
    recipe: "upstream",
    steps: 80,
    rate: 0.015,
    warmupSteps: 20,
    resize: 36,
    crop: 32,
    noFlip: true,
  };
  const { schedule, settings, overridden } = planJob(request, data);
  expect(schedule).toEqual({
    baseRate: 0.015,
    warmupSteps: 20,
    boundaries: [27, 53, 71],
    steps: 80,
    decay: 10,
  });
  expect(settings).toMatchObject({ weightDecay: 1e-4, momentum: 0.9, mixup: 0, batch: 512 });
  expect(overridden).toEqual([
    { setting: "steps", ruleValue: 100, value: 80 },
    { setting: "rate", ruleValue: 0.06, value: 0.015 },
    { setting: "warmupSteps", ruleValue: 14, value: 20 },
    { setting: "resize", ruleValue: 160, value: 36 },
    { setting: "crop", ruleValue: 128, value: 32 },
    { setting: "noFlip", ruleValue: false, value: true },
  ]);
});

test.each<readonly [Partial<JobRequest>, number, number]>([
  [{}, 160, 128],
  [{ crop: 32 }, 40, 32],
  [{ resize: 80 }, 80, 64],
  [{ resize: 36, crop: 32 }, 36, 32],
  [{ resize: 32, crop: 32 }, 32, 32],
  [{ noCrop: true }, 128, 128],
  [{ noCrop: true, crop: 32 }, 32, 32],
])("%j squashes to %i and cuts to %i", (given, resize, crop) => {
  expect(planJob({ ...least, ...given }, data).settings).toMatchObject({ resize, crop });
});

test.each([
  [512, 32, 16],
  [512, 8, 16],
  [32, 32, 1],
  [640, 32, 10],
  [96, 2, 16],
  [102, 2, 3],
  [34, 2, 1],
])("a batch of %i in %i shards is computed %i at a time", (batch, shards, microBatch) => {
  expect(planJob({ ...least, batch, shards }, data).settings.microBatch).toBe(microBatch);
});

const refusals: readonly (readonly [Partial<JobRequest>, Partial<DataSummary>, string])[] = [
  [{ batch: 500 }, {}, "batch 500 cannot be cut into 32 shards: shards must divide it, such as 25"],
  [
    { microBatch: 5 },
    {},
    "micro-batch 5 does not divide a shard of 16 examples (batch 512 in 32 shards)",
  ],
  [{ minWorkers: 33 }, {}, "min-workers 33 is more than there are shards to deal: 32"],
  [{ resize: 32, crop: 36 }, {}, "crop 36 is larger than resize 32"],
  [
    { resize: 36, crop: 32, noCrop: true },
    {},
    "resize 36 means nothing with no-crop: pictures are squashed to crop 32",
  ],
  [{ warmupSteps: 50, steps: 50 }, {}, "warmup-steps is 50, not below the 50 steps of the job"],
  [{ warmupSteps: 500 }, {}, "warmup-steps is 500, not below the 500 steps of the job"],
  [{ examplesPerClass: 91 }, {}, 'examples-per-class 91 is more than class "six" has: 90'],
  [
    { mixup: 0.1, batch: 32, shards: 32 },
    {},
    "mixup 0.1 mixes pictures of one shard, and a shard has 1 (batch 32 in 32 shards): use fewer shards, or mixup 0",
  ],
  [{ mixup: 1e-9 }, {}, "mixup is 1e-9, neither 0 nor at least 0.001"],
  [{ steps: 0 }, {}, "steps 0 only evaluates, for which weights is needed"],
  [
    { steps: 0, weights: "job:a" },
    { validationCounts: [0, 0, 0] },
    "steps 0 only evaluates, and there are no validation examples",
  ],
  [
    {},
    { classes: ["five"], trainingCounts: [9] },
    'data has only the class "five", and at least 2 classes are needed',
  ],
  [{}, { classes: [], trainingCounts: [] }, "data has no class, and at least 2 classes are needed"],
  [{}, { trainingCounts: [1, 0, 2] }, 'class "six" has no training examples'],
];

test.each(refusals)("%j with data %j is refused", (given, summary, message) => {
  const plan = (): unknown => planJob({ ...least, ...given }, { ...data, ...summary });
  expect(plan).toThrow(ConfigError);
  expect(plan).toThrow(message);
});

test.each<Partial<JobRequest>>([
  { batch: 96, shards: 32, microBatch: 3 },
  { examplesPerClass: 90 },
  { warmupSteps: 49, steps: 50 },
  { warmupSteps: 0, steps: 1 },
  { minWorkers: 32 },
  { mixup: 0.001 },
  { steps: 0, weights: "/w.npz" },
])("%j is on the right side of its bound", (given) => {
  expect(planJob({ ...least, ...given }, data).settings).toMatchObject(given);
});

test("an evaluation job has no steps and no rate", () => {
  const plan = planJob({ ...least, steps: 0, weights: "job:a" }, data);
  expect(plan.schedule).toMatchObject({ steps: 0, warmupSteps: 0 });
  expect(rate(plan.schedule, 0)).toBe(0);
});

test("the sampler gets what the settings say", () => {
  const { settings, trainingExamples } = planJob(
    { ...least, noCrop: true, crop: 32, seed: 5 },
    data,
  );
  const sample = samplePlan(settings, trainingExamples);
  expect(sample).toEqual({
    seed: 5,
    examples: 300,
    batch: 512,
    shards: 32,
    resize: 32,
    crop: 32,
    randomCrop: false,
    flip: true,
    mixup: 0,
  });
  expect(new Sampler(sample).draws(3, 31)).toHaveLength(16);
});

test("the expected memory grows with the model, the side and the micro-batch", () => {
  const gigabytes = (model: string, side: number, microBatch: number): number =>
    expectedMemory(architecture(model), 1000, side, microBatch) / 1e9;
  // A process that trains R50x1 at 128 x 128 by 32 peaks at 2.2 to 2.4 GB.
  expect(gigabytes("R50x1", 128, 32)).toBeGreaterThan(1.8);
  expect(gigabytes("R50x1", 128, 32)).toBeLessThan(3.2);
  expect(gigabytes("R50x1", 128, 16)).toBeLessThan(gigabytes("R50x1", 128, 32) - 0.5);
  expect(gigabytes("R50x1", 480, 16) / gigabytes("R50x1", 128, 16)).toBeGreaterThan(4);
  expect(gigabytes("R152x4", 128, 1)).toBeGreaterThan(37);
  expect(gigabytes("1-1-1-1x0.5", 32, 16)).toBeLessThan(0.5);
});

test("the preview says in words what will happen", () => {
  const request: JobRequest = {
    ...least,
    weights: "job:pretrain",
    validation: "/data/held-out",
    steps: 60,
    resize: 36,
    crop: 32,
    noFlip: true,
    examplesPerClass: 10,
    evalEvery: 20,
  };
  expect(describePlan(planJob(request, data), data)).toEqual([
    "Job         digits",
    "Model       1-1-1-1x0.5, 2.0 million parameters, from job:pretrain",
    "Data        /data/digits: 3 classes, 30 to train on (10 per class), 60 for validation in /data/held-out",
    "            five     100 training, 10 validation",
    "            six       90 training, 20 validation",
    "            seven    110 training, 30 validation",
    "Pictures    28 x 28 (median), squashed to 36 x 36, cropped at random to 32 x 32, not flipped",
    "Training    60 steps of 512 examples, 1024.0 passes over the data",
    "Rate        rises to 0.003 over the first 12 steps, 0.0003 after step 24, 0.00003 after step 36, 0.000003 after step 48",
    "Optimizer   SGD, momentum 0.9, weight decay 0",
    "MixUp       off",
    "Shards      32 of 16 examples, computed 16 at a time",
    "Checkpoints every 6 steps, the last 3 kept",
    "Evaluation  every 20 steps and at the end",
    "Memory      about 0.4 GB per worker (an estimate)",
    "Overridden  steps 60, by the recipe 500",
    "            resize 36, by the recipe 160",
    "            crop 32, by the recipe 128",
    "            no-flip on, by the recipe off",
  ]);
});

test("the preview counts the files that are left out", () => {
  const leftOut = [
    { kind: ".jfif", files: 6 },
    { kind: "of the system", files: 1 },
  ];
  const found = { ...data, leftOut };
  expect(describePlan(planJob(least, found), found)).toContain(
    "Left out    7 files: 6 .jfif, 1 of the system",
  );
});

test("the preview of an evaluation, and of many classes, leaves out what there is not", () => {
  const classes = Array.from({ length: 100 }, (_, i) => `class${i}`);
  const many = {
    ...data,
    classes,
    trainingCounts: classes.map(() => 200),
    validationCounts: classes.map(() => 0),
  };
  const lines = describePlan(planJob({ ...least, evalEvery: 1 }, many), many);
  expect(lines.some((line) => line.endsWith("and 89 more"))).toBe(true);
  expect(lines).toContain("Evaluation  none, there are no validation examples");
  expect(lines).toContain("MixUp       alpha 0.1, each picture with another of its shard of 16");

  const only = describePlan(planJob({ ...least, steps: 0, weights: "/w.npz" }, data), data);
  expect(only).toContain("Training    none, the weights are only evaluated");
  expect(only.some((line) => line.startsWith("Rate"))).toBe(false);
});

test.each([
  [
    "too many classes",
    Array.from({ length: 70_000 }, (_, i) => `c${String(i).padStart(5, "0")}`),
    "the data have 70000 classes, and a job can have 65536 at most",
  ],
  ["a name that is too long", ["a", "x".repeat(256)], "with a name of 256 characters, and 255 are"],
  [
    "names that are too long together",
    Array.from({ length: 10_000 }, (_, i) => `c${String(i).padStart(104, "0")}`),
    "the data have 10000 classes whose names take 1080001 bytes together, and a job can keep 400000",
  ],
])("a job is refused where no record could keep its classes: %s", (_, classes, sentence) => {
  const counts = classes.map(() => 10);
  const wide = { ...data, classes, trainingCounts: counts, validationCounts: counts };
  expect(() => planJob(least, wide)).toThrow(ConfigError);
  expect(() => planJob(least, wide)).toThrow(sentence);
});

test.each([
  [{}, true],
  [{ weights: "job:pretrain" }, false],
  [{ recipe: "upstream" }, false],
  [{ steps: 0, weights: "job:pretrain" }, false],
] as const)("the preview warns of the rule for transfer without weights: %j", (more, warns) => {
  const lines = describePlan(planJob({ ...least, ...more }, data), data);
  const warning =
    "Warning     hyperrule is made for transfer, and there are no weights to start from: give --weights, or --recipe upstream";
  expect(lines.includes(warning)).toBe(warns);
});
