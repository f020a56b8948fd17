import { expect, test } from "vitest";
import { buildIndex } from "../../src/data/buildIndex.js";
import type { DataIndex } from "../../src/data/dataIndex.js";
import { Loader } from "../../src/data/loader.js";
import { bytesOf, readable, unreadable, worstQuarter } from "./pictureCases.js";
import { temporaryFolder, writeFiles } from "./temporaryFolder.js";

/** The cases as a job meets them: lying in a folder, indexed when it is submitted, loaded when it runs. */

const crop = 90;

/** Every case is a training and a validation example of class `b`; another picture makes up class `a`. */
async function indexed(name: string): Promise<DataIndex> {
  const root = await temporaryFolder();
  await writeFiles(root, {
    "a/1.jpg": await bytesOf("progressive.jpg"),
    [`b/${name}`]: await bytesOf(name),
  });
  const wanted = { data: root, validation: root, validationFraction: 0, seed: 1 };
  return buildIndex(wanted, () => undefined, new AbortController().signal).catch(
    (error: unknown) => {
      throw new Error(String(error).replaceAll(root, ""), { cause: error });
    },
  );
}

const draw = { example: 1, top: 0, left: 0, flip: false, partner: 0, epoch: 0 };

test.each(readable)("%s is indexed upright, and loaded as what it shows", async (name, wanted) => {
  const index = await indexed(name);
  const { width, height } = wanted;
  expect(index.training[1]).toMatchObject({ file: `b/${name}`, label: 1, width, height });

  const loader = new Loader(index);
  const cut = { resize: crop, crop, randomCrop: false };
  const { images, labels } = await loader.training([draw], cut);
  expect([...labels]).toEqual([1]);
  const picture = { width: crop, height: crop, pixels: images };
  expect(worstQuarter(picture, wanted)).toBeLessThanOrEqual(wanted.tolerance);
  expect((await loader.evaluation(1, 2, crop)).images).toEqual(images);
});

test.each(unreadable)("%s is refused at submit by its path", async (name) => {
  await expect(indexed(name)).rejects.toThrow(`the picture /b/${name} cannot be read: `);
});

test("there are as many cases as there should be", () => {
  expect([readable.length, unreadable.length]).toEqual([15, 4]);
});
