import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../src/job/problem.js";
import { checkJobName, checkRequest, checkSettings } from "../../src/job/request.js";
import { flag, helpText, placeholder, protoField, settingNames } from "../../src/job/settings.js";

const least = { name: "digits", model: "R50x1", data: "/data/digits" };

test("the least request is name, model and data, and nothing is added to it", () => {
  expect(checkRequest(least)).toEqual(least);
});

test("texts, as flags and forms give them, become the values of the table", () => {
  const request = checkRequest({
    ...least,
    recipe: "upstream",
    steps: "60",
    rate: "3e-3",
    drops: "0.3, 0.6,0.9",
    noFlip: "true",
    noCrop: "false",
    weights: "job:pretrain-1",
    seed: "4294967295",
  });
  expect(request).toEqual({
    ...least,
    recipe: "upstream",
    steps: 60,
    rate: 0.003,
    drops: [0.3, 0.6, 0.9],
    noFlip: true,
    noCrop: false,
    weights: "job:pretrain-1",
    seed: 4_294_967_295,
  });
  expect(checkRequest({ ...request })).toEqual(request);
});

test("what is absent, undefined or empty is not given, and 0 and false are given", () => {
  const raw = { validation: "", drops: [], rate: undefined, evalEvery: 0, noFlip: false };
  expect(checkRequest({ ...least, ...raw })).toEqual({ ...least, evalEvery: 0, noFlip: false });
});

const wholeSteps = "a whole number from 0 to 10000000";
const fractions = "up to 16 increasing numbers between 0 and 1, such as 0.3,0.6,0.9";

test.each<readonly [string, unknown, string]>([
  ["rate", "abc", 'rate is "abc", not a number from 0 to 100'],
  ["rate", NaN, "rate is NaN, not a number from 0 to 100"],
  ["rate", "0x10", 'rate is "0x10", not a number from 0 to 100'],
  ["rate", -0.1, "rate is -0.1, not a number from 0 to 100"],
  ["rate", "101", 'rate is "101", not a number from 0 to 100'],
  ["rate", " ", 'rate is " ", not a number from 0 to 100'],
  ["rate", true, "rate is true, not a number from 0 to 100"],
  ["rate", { valueOf: 1 }, "rate is a value of type object, not a number from 0 to 100"],
  ["steps", 1.5, `steps is 1.5, not ${wholeSteps}`],
  ["steps", "Infinity", `steps is "Infinity", not ${wholeSteps}`],
  ["steps", 10_000_001, `steps is 10000001, not ${wholeSteps}`],
  ["batch", 0, "batch is 0, not a whole number from 1 to 65536"],
  ["microBatch", 0, "micro-batch is 0, not a whole number from 1 to 1024"],
  ["examplesPerClass", -1, "examples-per-class is -1, not a whole number from 0 to 10000000"],
  ["seed", 2 ** 32, "seed is 4294967296, not a whole number from 0 to 4294967295"],
  ["validationFraction", 0.95, "validation-fraction is 0.95, not a number from 0 to 0.9"],
  ["recipe", "adam", 'recipe is "adam", not hyperrule or upstream'],
  ["noFlip", "yes", 'no-flip is "yes", not true or false'],
  ["drops", "0.6,0.3", `drops is "0.6,0.3", not ${fractions}`],
  ["drops", [0.3, 0.3], `drops is "0.3,0.3", not ${fractions}`],
  ["drops", "0,0.5", `drops is "0,0.5", not ${fractions}`],
  ["drops", [0.5, 1], `drops is "0.5,1", not ${fractions}`],
  ["drops", "0.5,", `drops is "0.5,", not ${fractions}`],
  ["drops", Array.from({ length: 17 }, (_, i) => (i + 1) / 20), `not ${fractions}`],
  ["data", "/a\0b", 'data is "/a\\u0000b", not a text of up to 4096 characters'],
  ["data", 7, "data is 7, not a text of up to 4096 characters"],
  ["data", "/a".repeat(2049), '…", not a text of up to 4096 characters'],
  ["data", "", "data is not given"],
  ["model", undefined, "model is not given"],
  ["model", "R51x1", 'model "R51x1" is not known: use R50x1, R50x3'],
  ["weights", "job:Not A Label", 'weights is "job:Not A Label", which names no job after "job:"'],
  ["learningRate", 1, 'there is no setting "learningRate"'],
  ["__proto__x", 1, 'there is no setting "__proto__x"'],
])("%s = %j is refused by name", (name, value, message) => {
  const check = (): unknown => checkRequest({ ...least, [name]: value });
  expect(check).toThrow(ConfigError);
  expect(check).toThrow(message);
});

test("a setting that an object inherits is no setting", () => {
  expect(() => checkRequest({ ...least, ["toString"]: 1 })).toThrow('no setting "toString"');
});

test.each(["a", "a-1", "7", "x".repeat(63)])("the job name %s is a DNS label", (name) => {
  expect(checkJobName(name)).toBe(name);
  expect(checkRequest({ ...least, name }).name).toBe(name);
});

test.each(["", "-a", "a-", "A", "a_b", "a.b", "a b", "ä", "a\n", "x".repeat(64)])(
  "the job name %j is refused",
  (name) => {
    expect(() => checkJobName(name)).toThrow(ConfigError);
    expect(() => checkJobName(name)).toThrow("not a DNS label");
  },
);

test("settings of which something is undecided are refused", () => {
  expect(() => checkSettings(least)).toThrow("validation-fraction is not decided");
});

describe.each(settingNames)("the setting %s", (name) => {
  test("is a field of JobSettings in the wire contract", () => {
    const proto = readFileSync(
      new URL("../../proto/bitfleet/v1/training.proto", import.meta.url),
      "utf8",
    );
    const message = /message JobSettings \{([^}]*)\}/.exec(proto)?.[1] ?? "";
    expect(message).toMatch(new RegExp(`\\b${protoField(name)} = \\d+;`));
  });

  test("has a flag in kebab case and one sentence of help", () => {
    expect(flag(name)).toMatch(/^--[a-z]+(-[a-z]+)*$/);
    expect(helpText(name)).toMatch(/^[A-Z][^\n]{10,140}[^.]$/);
  });
});

test("the wire contract has no field that is no setting", () => {
  const proto = readFileSync(
    new URL("../../proto/bitfleet/v1/training.proto", import.meta.url),
    "utf8",
  );
  const message = /message JobSettings \{([^}]*)\}/.exec(proto)?.[1] ?? "";
  const fields = [...message.matchAll(/(\w+) = \d+;/g)].map((match) => match[1]);
  expect(fields.toSorted()).toEqual(settingNames.map(protoField).toSorted());
});

test("flags, placeholders and help are those that people see", () => {
  expect([flag("examplesPerClass"), flag("noCrop")]).toEqual(["--examples-per-class", "--no-crop"]);
  expect([placeholder("recipe"), placeholder("noCrop"), placeholder("data")]).toEqual([
    "hyperrule|upstream",
    undefined,
    "FOLDER",
  ]);
  expect([placeholder("rate"), placeholder("drops")]).toEqual(["N", "F,F,..."]);
  expect(helpText("batch")).toBe("Examples per update (default: 512)");
  expect(helpText("rate")).toBe("Peak learning rate (default: by the recipe)");
  expect(helpText("name")).toMatch(/\(required\)$/);
  expect(helpText("noFlip")).not.toContain("default");
});
