import { expect, test } from "vitest";
import { blobName, blobOf, hashOf, missingBlobs, putBlob, readBlob } from "../../src/data/blobs.js";
import {
  compareFiles,
  decodePage,
  encodePages,
  refusalOfFile,
  type ListedFile,
} from "../../src/data/dataPages.js";
import { decodeDataSet, encodeDataSet, readDataSet, setName } from "../../src/data/dataSet.js";
import { ConfigError, FailureError, WireError } from "../../src/job/problem.js";
import { MemoryStore } from "./memoryStore.js";

const listed = (file: string, bytes = 10): ListedFile => ({
  file,
  sha256: hashOf(Buffer.from(file)),
  bytes,
});
const pageOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const row = (file: string): string => JSON.stringify([file, "ab".repeat(32), 10]);
const document = (...rows: readonly string[]): string => `[\n${rows.join(",\n")}\n]\n`;

test("pages give back the pictures in order, and an equal list has equal pages", () => {
  const files = ["a/1.png", "a/b/2.JPG", "a-b/1.png", "é/字 .webp"].map((file) => listed(file));
  const [page, ...rest] = encodePages(files);
  expect(rest).toEqual([]);
  expect(decodePage(page ?? pageOf(""))).toEqual(files);
  expect(encodePages(files)).toEqual([page]);
  expect(encodePages([])).toEqual([]);
});

test("a long list is cut into pages that are each small enough to be read", () => {
  const many = Array.from({ length: 10_001 }, (_, i) => listed(`a/${100_000 + i}.png`));
  const long = Array.from({ length: 1_800 }, (_, i) =>
    listed(`a/${"é".repeat(250)}/${"é".repeat(250)}/${"é".repeat(240)}${1000 + i}.png`),
  );
  for (const files of [many, long]) {
    const pages = encodePages(files);
    expect(pages).toHaveLength(2);
    expect(JSON.stringify(pages.flatMap(decodePage))).toBe(JSON.stringify(files));
  }
});

test("pictures are sorted by class first, as those of a folder are", () => {
  const files = ["a/1.png", "a-b/1.png", "a/0.png", "A/9.png"];
  expect(files.toSorted(compareFiles)).toEqual(["A/9.png", "a/0.png", "a/1.png", "a-b/1.png"]);
});

test.each([
  ["a name that leads out", "../a/1.png", "starts with a dot"],
  ["a name that leads out later", "a/../../1.png", "starts with a dot"],
  ["an absolute name", "/etc/1.png", "is empty"],
  ["an empty part", "a//1.png", "is empty"],
  ["a hidden folder", "a/.git/1.png", "starts with a dot"],
  ["a way out of Windows", "a\\..\\1.png", "in no class folder"],
  ["a backslash", "a/b\\1.png", "backslash or a control character"],
  ["a terminal's escape", "a/b\u001b[2J.png", "backslash or a control character"],
  ["a zero byte", "a/b\0.png", "backslash or a control character"],
  ["no class", "1.png", "in no class folder"],
  ["a long part", `a/${"x".repeat(252)}.png`, "more than 255 characters"],
  ["a deep folder", `${"a/".repeat(17)}1.png`, "more than 16 folders deep"],
  ["a long name", `a/${"b".repeat(200)}/`.repeat(30), "more than 4096 characters"],
  ["what is no picture", "a/1.svg", "no picture's"],
])("a data set may not hold %s", (_, file, why) => {
  expect(refusalOfFile(file)).toContain(why);
  expect(() => decodePage(pageOf(document(row(file))))).toThrow(WireError);
});

test("the pages of the next test are refused for their faults alone", () => {
  expect(decodePage(pageOf(document(row("a/1.png"), row("a/2.png"))))).toHaveLength(2);
});

test.each([
  ["that is not JSON", "[", "not JSON"],
  ["that is no list", "{}", "no list"],
  ["without pictures", "[\n\n]\n", "0 pictures"],
  ["with a picture twice", document(row("a/1.png"), row("a/1.png")), "out of order"],
  ["out of order", document(row("b/1.png"), row("a/1.png")), "out of order"],
  ["with a blank more", document(row("a/1.png")).replace(",", ", "), "one spelling"],
  ["with a field more", document(row("a/1.png").replace("]", ",1]")), "3 parts"],
  ["with a hash that is none", document(row("a/1.png").replace("ab", "AB")), "no SHA-256"],
  ["with an empty picture", document(row("a/1.png").replace(",10]", ",0]")), "from 1 to"],
  ["with half a byte", document(row("a/1.png").replace(",10]", ",0.5]")), "from 1 to"],
  ["with a huge picture", document(row("a/1.png").replace(",10]", ",67108865]")), "from 1 to"],
])("a page %s is refused", (_, text, why) => {
  expect(() => decodePage(pageOf(text))).toThrow(WireError);
  expect(() => decodePage(pageOf(text))).toThrow(why);
});

const set = {
  ...{ name: "flowers", classes: 2, pictures: 3, bytes: 30, ignoredFiles: 1 },
  pages: ["ab".repeat(32)],
};

test("the file of a data set is read as it was written, and no byte of it changes unseen", () => {
  const encoded = encodeDataSet(set);
  expect(decodeDataSet(encoded, "flowers")).toEqual(set);
  for (let i = 0; i < encoded.length; i += 1) {
    const flipped = Uint8Array.from(encoded);
    flipped[i] = (flipped[i] ?? 0) ^ 1;
    const read = (): unknown => decodeDataSet(flipped, "flowers");
    // A digit of a number, or of a hash, may become another one.
    if (/^[0-9a-f]$/.test(String.fromCharCode(flipped[i] ?? 0))) continue;
    expect(read, `byte ${i}`).toThrow(WireError);
  }
  expect(() => decodeDataSet(encoded, "roses")).toThrow("the data set roses cannot be used");
});

test("a data set that is not there is undefined, and one that is damaged a failure", async () => {
  const store = new MemoryStore();
  expect(await readDataSet(store, "flowers")).toBeUndefined();
  await store.put(setName("flowers"), [encodeDataSet(set)]);
  expect(await readDataSet(store, "flowers")).toEqual(set);
  await store.put(setName("flowers"), [pageOf("{}")]);
  await expect(readDataSet(store, "flowers")).rejects.toBeInstanceOf(FailureError);
});

test("a blob is seen once its bytes are there and are the right ones", async () => {
  const store = new MemoryStore();
  const bytes = Buffer.from("the bytes of a picture");
  const blob = { sha256: hashOf(bytes), bytes: bytes.length };
  const wrong = Buffer.from("the bytes of a Picture");
  const refusals: readonly (readonly [readonly Uint8Array[], string])[] = [
    [[wrong], "has the SHA-256"],
    [[bytes.subarray(1)], "has 21 bytes, and 22 were said"],
    [[bytes, Buffer.from("x")], "more than the 22 bytes"],
    [[], "has 0 bytes"],
  ];
  for (const [chunks, why] of refusals) {
    await expect(putBlob(store, blob, chunks)).rejects.toBeInstanceOf(ConfigError);
    await expect(putBlob(store, blob, chunks)).rejects.toThrow(why);
    expect(await store.list("")).toEqual([]);
  }
  await putBlob(store, blob, [bytes.subarray(0, 5), bytes.subarray(5)]);
  await putBlob(store, blob, [bytes]);
  expect(await store.list("")).toEqual([`data/blobs/${blob.sha256.slice(0, 2)}/${blob.sha256}`]);
  expect(await readBlob(store, blob.sha256, 22)).toEqual(bytes);
  await expect(readBlob(store, blob.sha256, 21)).rejects.toThrow("over 21 bytes");
  store.files.set(blobName(blob.sha256), wrong);
  await expect(readBlob(store, blob.sha256, 22)).rejects.toThrow("is damaged");
});

test("only the name of a blob stands for its hash", () => {
  const sha256 = "ab".repeat(32);
  expect(blobOf(blobName(sha256))).toBe(sha256);
  for (const name of [`data/blobs/cd/${sha256}`, `data/sets/${sha256}`, "data/blobs/ab/ab"])
    expect(blobOf(name)).toBeUndefined();
});

test("what is missing is found alike, whether folders are listed or each blob is asked for", async () => {
  const store = new MemoryStore();
  const few = Array.from({ length: 40 }, (_, i) => `${"cd".repeat(31)}${String(10 + i)}`);
  const other = "ef".repeat(32);
  await store.put(blobName(few[3] ?? ""), []);
  await store.put(blobName(other), []);
  const without = few.filter((_, i) => i !== 3);
  expect(await missingBlobs(store, [...few, other, few[0] ?? ""])).toEqual(without);
  expect(await missingBlobs(store, [few[3] ?? "", few[4] ?? "", other])).toEqual([few[4]]);
  expect(await missingBlobs(store, [])).toEqual([]);
});
