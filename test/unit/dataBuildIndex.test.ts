import { createHash } from "node:crypto";
import { appendFile, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { buildIndex, confirmIndex, type IndexRequest } from "../../src/data/buildIndex.js";
import { decodeIndex, encodeIndex, summarize, type DataIndex } from "../../src/data/dataIndex.js";
import { total } from "../../src/job/leftOut.js";
import { ConfigError, WireError } from "../../src/job/problem.js";
import { png, temporaryFolder, writeFiles } from "./temporaryFolder.js";

const request = { validationFraction: 0.25, seed: 7 };

/** `counts` pictures per class, each of its own colour and size. */
async function pictures(counts: Readonly<Record<string, number>>): Promise<string> {
  const root = await temporaryFolder();
  for (const [name, count] of Object.entries(counts)) {
    for (let i = 0; i < count; i++) {
      const bytes = png(4 + i, Math.max(1, 9 - i), () => [i, name.charCodeAt(0), 3]);
      await writeFiles(root, { [`${name}/${i}.png`]: bytes });
    }
  }
  return root;
}

function build(wanted: IndexRequest): Promise<DataIndex> {
  return buildIndex(wanted, () => undefined, new AbortController().signal);
}

const filesOf = (entries: DataIndex["training"]): readonly string[] =>
  entries.map(({ file }) => file);

test("an index states each picture's size, checksum and bytes", async () => {
  const root = await pictures({ cat: 1, dog: 2 });
  await writeFiles(root, { "dog/note.txt": "x" });
  const index = await build({ ...request, data: root, validationFraction: 0 });
  const bytes = await readFile(join(root, "dog/1.png"));
  expect(index.training[2]).toEqual({
    file: "dog/1.png",
    label: 1,
    width: 5,
    height: 8,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    bytes: bytes.length,
  });
  expect(filesOf(index.training)).toEqual(["cat/0.png", "dog/0.png", "dog/1.png"]);
  expect(index.validation).toEqual([]);
  expect([index.medianWidth, index.medianHeight, total(index.leftOut)]).toEqual([4, 9, 1]);
  expect(index.trainingRoot).toBe(root);
});

test("a turned picture is indexed by its upright size", async () => {
  const root = await temporaryFolder();
  const turned = await readFile(new URL("../cases/images/exif-orientation-6.jpg", import.meta.url));
  await writeFiles(root, { "a/1.jpg": turned, "b/1.jpg": turned });
  const { training } = await build({ ...request, data: root, validationFraction: 0 });
  expect(training.map(({ width, height }) => [width, height])).toEqual([
    [180, 120],
    [180, 120],
  ]);
});

test("the split takes its fraction of every class, each picture once, by the seed", async () => {
  const root = await pictures({ a: 4, b: 4 });
  const index = await build({ ...request, data: root });
  const { trainingCounts, validationCounts } = summarize(index);
  expect([trainingCounts, validationCounts]).toEqual([
    [3, 3],
    [1, 1],
  ]);
  const all = [...filesOf(index.training), ...filesOf(index.validation)];
  expect(new Set(all).size).toBe(8);
  expect(index.validationRoot).toBe(root);

  expect(await build({ ...request, data: root })).toEqual(index);
  const others = await Promise.all(
    [1, 2, 3, 4].map((seed) => build({ ...request, data: root, seed })),
  );
  const digests = new Set(others.map(({ digest }) => digest));
  expect(digests.size).toBeGreaterThan(1);
});

test("few-shot training takes so many of each class, and leaves validation alone", async () => {
  const root = await pictures({ a: 4, b: 4 });
  const whole = await build({ ...request, data: root });
  const few = await build({ ...request, data: root, examplesPerClass: 2 });
  expect(summarize(few).trainingCounts).toEqual([2, 2]);
  expect(few.validation).toEqual(whole.validation);
  expect(filesOf(whole.training)).toEqual(expect.arrayContaining([...filesOf(few.training)]));
});

test("more few-shot examples than a class has are refused with the class's name", async () => {
  const root = await pictures({ a: 4, b: 2 });
  const wanted = { ...request, data: root, validationFraction: 0, examplesPerClass: 3 };
  await expect(build(wanted)).rejects.toThrow(/"b"/);
  await expect(build(wanted)).rejects.toBeInstanceOf(ConfigError);
});

test("a validation folder is used whole, with the labels of training", async () => {
  const [training, validation] = [await pictures({ a: 2, b: 2 }), await pictures({ b: 3 })];
  await writeFiles(training, { "a/x.txt": "" });
  await writeFiles(validation, { "b/x.txt": "", "b/y.txt": "" });
  const index = await build({ ...request, data: training, validation });
  expect(index.leftOut).toEqual([{ kind: ".txt", files: 3 }]);
  const { trainingCounts, validationCounts } = summarize(index);
  expect([trainingCounts, validationCounts]).toEqual([
    [2, 2],
    [0, 3],
  ]);
  expect(index.validationRoot).toBe(validation);
  const few = await build({ ...request, data: training, validation, examplesPerClass: 1 });
  expect(summarize(few).trainingCounts).toEqual([1, 1]);
  expect(few.validation).toEqual(index.validation);
});

test("the medians are the lower ones, over the training pictures alone", async () => {
  const root = await temporaryFolder();
  await writeFiles(root, {
    "a/1.png": png(10, 40, () => [0, 0, 0]),
    "a/2.png": png(20, 30, () => [0, 0, 0]),
    "b/1.png": png(30, 20, () => [0, 0, 0]),
    "b/2.png": png(100, 10, () => [0, 0, 0]),
  });
  const validation = await temporaryFolder();
  await writeFiles(validation, { "a/1.png": png(1, 1, () => [0, 0, 0]) });
  const { medianWidth, medianHeight } = await build({ ...request, data: root, validation });
  expect([medianWidth, medianHeight]).toEqual([20, 20]);
});

test("every unreadable picture is counted and the first few are named", async () => {
  const root = await pictures({ a: 2, b: 2 });
  const bad = Array.from({ length: 7 }, (_, i) => [`a/bad${i}.png`, "no picture"] as const);
  await writeFiles(root, Object.fromEntries(bad));
  const error: unknown = await build({ ...request, data: root, validationFraction: 0 }).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(ConfigError);
  expect(String(error)).toContain("7 of 11 pictures cannot be used: ");
  expect(String(error)).toContain("bad4.png cannot be read");
  expect(String(error)).not.toContain("bad5.png");
  expect(String(error)).toMatch(/; and 2 more$/);
});

test("pictures that the job does not use are not read", async () => {
  const root = await pictures({ a: 3, b: 3 });
  await writeFiles(root, { "a/bad.png": "no picture" });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 12 }, (_, seed) =>
      build({ data: root, validationFraction: 0, examplesPerClass: 1, seed }),
    ),
  );
  const refused = outcomes.filter(({ status }) => status === "rejected").length;
  expect(refused).toBeGreaterThan(0);
  expect(refused).toBeLessThan(12);
});

test("progress is told for every picture, up to the total", async () => {
  const root = await pictures({ a: 3, b: 2 });
  const told: string[] = [];
  await buildIndex(
    { ...request, data: root },
    ({ done, total }) => told.push(`${done}/${total}`),
    new AbortController().signal,
  );
  expect(told).toEqual(["1/5", "2/5", "3/5", "4/5", "5/5"]);
});

test("an aborted index ends with the signal's reason and reads no further", async () => {
  const root = await pictures({ a: 24, b: 24 });
  const controller = new AbortController();
  let read = 0;
  const building = buildIndex(
    { ...request, data: root },
    () => {
      read += 1;
      controller.abort(new Error("stopped by the user"));
    },
    controller.signal,
  );
  await expect(building).rejects.toThrow("stopped by the user");
  expect(read).toBeLessThanOrEqual(16); // What was under way, on a machine with many processors.
});

test("another worker confirms the index only while every file has its size", async () => {
  const root = await pictures({ a: 2, b: 2 });
  const index = await build({ ...request, data: root });
  await confirmIndex(index);
  await appendFile(join(root, "b/0.png"), "x");
  await expect(confirmIndex(index)).rejects.toThrow(
    /b\/0\.png has \d+ bytes on this worker, \d+ in/,
  );
  await rm(join(root, "a/1.png"));
  await expect(confirmIndex(index)).rejects.toThrow(`${root}/a/1.png is not on this worker`);
  await rename(root, `${root}-moved`);
  await expect(confirmIndex(index)).rejects.toThrow(`${root}/a/0.png is not on this worker`);
  await rename(`${root}-moved`, root);
});

test("an index is read back as it was written", async () => {
  const index = await build({ ...request, data: await pictures({ a: 4, "ü \"'": 3 }) });
  expect(decodeIndex(encodeIndex(index), index.digest)).toEqual(index);
});

test("no byte of an index changes unseen", async () => {
  const index = await build({ ...request, data: await pictures({ a: 2, b: 2 }) });
  const encoded = encodeIndex(index);
  for (let i = 0; i < encoded.length; i++) {
    const flipped = Uint8Array.from(encoded);
    flipped[i] = (flipped[i] ?? 0) ^ 1;
    expect(() => decodeIndex(flipped, index.digest)).toThrow(WireError);
    expect(() => decodeIndex(encoded.subarray(0, i), index.digest)).toThrow(WireError);
  }
});

/** With a digest that fits, so that only the contents can be at fault. */
function decodeText(text: string): DataIndex {
  const encoded = new TextEncoder().encode(text);
  return decodeIndex(encoded, createHash("sha256").update(encoded).digest("hex"));
}

const row = (file: string, label = 0): string =>
  JSON.stringify([file, label, 4, 4, "0".repeat(64), 10]);
const document = (rows: string, classes = '["a","b"]'): string =>
  `{"version":1,"classes":${classes},"trainingRoot":"/d","validationRoot":"/d","medianWidth":4,` +
  `"medianHeight":4,"leftOut":[],"training":[${rows}],"validation":[]}`;

test("the documents of the next test are refused for their faults alone", () => {
  expect(decodeText(document(row("a/1.png"))).training).toHaveLength(1);
});

test.each([
  ["not JSON", "{", "is not JSON"],
  ["a list", "[]", "it is no object"],
  ["another version", document(row("a/1.png")).replace(":1,", ":2,"), "version"],
  ["one class", document(row("a/1.png"), '["a"]'), "1 classes of at least 2"],
  ["classes out of order", document(row("a/1.png"), '["b","a"]'), "not in order"],
  ["a class twice", document(row("a/1.png"), '["a","a"]'), "not in order"],
  ["a class that is a path", document(row("a/1.png"), '["a","b/c"]'), "no folder name"],
  ["no examples", document(""), "no training examples"],
  ["a file outside", document(row("a/../../etc/passwd")), "training[0] names a file outside"],
  ["an absolute file", document(row("/etc/passwd")), "training[0] names a file outside"],
  ["a file with a zero byte", document(row("a/\0.png")), "training[0] names a file outside"],
  ["a label beyond the classes", document(row("a/1.png", 2)), "training[0] is 2, not from 0 to 1"],
  ["a negative label", document(row("a/1.png", -1)), "training[0] is -1, not from 0 to 1"],
  ["half a label", document(row("a/1.png", 0.5)), "is no whole number"],
  ["a short row", document('["a/1.png",0,4,4]'), "training[0]"],
  ["a long row", document(row("a/1.png").replace("]", ",1]")), "training[0]"],
  ["a relative root", document(row("a/1.png")).replace('"/d"', '"d"'), "no absolute path"],
])("an index with %s is refused", (_, text, reason) => {
  expect(() => decodeText(text)).toThrow(WireError);
  expect(() => decodeText(text)).toThrow(reason);
});

test("a field called __proto__ changes nothing", () => {
  const text = document(row("a/1.png")).replace("{", '{"__proto__":{"polluted":1},');
  decodeText(text);
  expect("polluted" in {}).toBe(false);
});

test("a picture that changes into no picture between listing and reading is told like any other", async () => {
  const root = await pictures({ a: 1, b: 1 });
  await writeFile(join(root, "a/0.png"), "");
  await expect(build({ ...request, data: root })).rejects.toThrow(
    "a/0.png cannot be read: the file",
  );
});
