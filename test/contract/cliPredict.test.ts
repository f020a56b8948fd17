import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { callsOf } from "../../src/client/pictures.js";
import type { TrainingHandlers } from "../../src/link/service.js";
import { folders, run } from "./cliRun.js";

async function folderOf(names: readonly string[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-predict-"));
  folders.push(folder);
  await mkdir(join(folder, "sub"));
  for (const name of names) await writeFile(join(folder, name), name.includes("empty") ? "" : "x");
  return folder;
}

/** Answers every picture with one class, those called bad with a problem; keeps the pictures of each call. */
function answering(calls: string[][]): Partial<TrainingHandlers> {
  return {
    predict: async (parts) => {
      const names: string[] = [];
      for await (const { picture } of parts) if (picture !== "") names.push(picture);
      calls.push(names);
      return names.map((picture) =>
        picture.includes("bad")
          ? { picture, scores: [], problem: `the picture ${picture} cannot be read: it is a text` }
          : { picture, scores: [{ className: "five", probability: 1 }] },
      );
    },
  };
}

test("Ctrl-C cancels predict on the coordinator, and it ends as interrupted", async () => {
  const folder = await folderOf(["a.png"]);
  const stop = new AbortController();
  let cancelled = false;
  const training: Partial<TrainingHandlers> = {
    predict: async (_, signal) => {
      stop.abort();
      await new Promise((done) => signal.addEventListener("abort", done));
      cancelled = true;
      return [];
    },
  };
  const args = ["predict", "digits", join(folder, "a.png")];
  const { code, terminal } = await run(args, { training, signal: stop.signal });
  expect([code, terminal.answer, terminal.noted]).toEqual([
    ...[1, ""],
    "interrupted; pictures that were not shown were not classified",
  ]);
  await expect.poll(() => cancelled).toBe(true);
});

test("a folder's pictures are found at any depth, and more than 256 go in several calls", async () => {
  const names = Array.from({ length: 300 }, (_, i) => `${1000 + i}.jpg`);
  const folder = await folderOf([...names, "sub/z.png", "notes.txt", ".hidden.png"]);
  const calls: string[][] = [];
  const training = answering(calls);
  const { code, terminal } = await run(["predict", "digits", folder], { training });
  expect(code).toBe(0);
  expect(calls.map(({ length }) => length)).toEqual([256, 45]);
  const expected = [...names, "sub/z.png"].map((name) => join(folder, name));
  expect(calls.flat()).toEqual(expected);
  expect(terminal.answers).toEqual(expected.map((file) => `${file}: five 100.0 %`));
});

test("bad pictures are named as the user does, and the good ones are answered", async () => {
  const folder = await folderOf(["a.png", "bad.png", "empty.png"]);
  const training = answering([]);
  const paths = ["a.png", "bad.png", "empty.png"].map((name) => join(folder, name));
  const { code, terminal } = await run(["predict", "digits", ...paths], { training });
  expect(terminal.answers).toEqual([`${paths[0]}: five 100.0 %`]);
  expect(terminal.notes).toEqual([
    `${paths[2]}: the file is empty`,
    `the picture ${paths[1]} cannot be read: it is a text`,
  ]);
  expect(code).toBe(1);
  const json = await run(["predict", "digits", ...paths, "--json"], { training });
  expect(JSON.parse(json.terminal.answer)).toEqual([
    { picture: paths[2], scores: [], problem: "the file is empty" },
    { picture: paths[0], scores: [{ className: "five", probability: 1 }] },
    expect.objectContaining({ picture: paths[1], scores: [] }),
  ]);
});

test("calls are cut by bytes too, and one picture is a call at least", () => {
  const sized = [4, 6, 1, 20, 3].map((bytes) => ({ file: "f", bytes }));
  const cut = [...callsOf(sized, { pictures: 3, totalBytes: 10 })];
  expect(cut.map((call) => call.map(({ bytes }) => bytes))).toEqual([[4, 6], [1], [20], [3]]);
});

test("a folder without pictures is refused", async () => {
  const folder = await folderOf(["notes.txt"]);
  const { code, terminal } = await run(["predict", "digits", folder]);
  expect([code, terminal.noted]).toEqual([
    2,
    `the folder ${folder} has no JPEG, PNG, WebP or GIF in it`,
  ]);
});
