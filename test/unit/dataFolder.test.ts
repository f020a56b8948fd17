import { symlink } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listFolder } from "../../src/data/folder.js";
import { labelled, type LabelledFiles } from "../../src/data/labels.js";
import { ConfigError } from "../../src/job/problem.js";
import { temporaryFolder, writeFiles } from "./temporaryFolder.js";

/** The names alone count here: nothing is decoded. */
async function folderOf(...names: readonly string[]): Promise<string> {
  const root = await temporaryFolder();
  await writeFiles(root, Object.fromEntries(names.map((name) => [name, "x"])));
  return root;
}

async function scanFolder(
  root: string,
  known?: readonly string[],
): Promise<LabelledFiles & { readonly ignoredFiles: number }> {
  const listing = await listFolder(root, "worker");
  return { ...labelled(listing, known), ignoredFiles: listing.ignoredFiles };
}

async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ConfigError);
  return error instanceof Error ? error.message : "";
}

test("classes are the folders by code unit, pictures are sorted by class and name", async () => {
  const root = await folderOf(
    "b/2.png",
    "b/1.JPG",
    "a10/x.webp",
    "a2/y.gif",
    "Z/z.jpeg",
    "é/字 .PNG",
  );
  const { classes, files, ignoredFiles } = await scanFolder(root);
  expect(classes).toEqual(["Z", "a10", "a2", "b", "é"]);
  expect(files).toEqual([
    { file: "Z/z.jpeg", label: 0 },
    { file: "a10/x.webp", label: 1 },
    { file: "a2/y.gif", label: 2 },
    { file: "b/1.JPG", label: 3 },
    { file: "b/2.png", label: 3 },
    { file: "é/字 .PNG", label: 4 },
  ]);
  expect(ignoredFiles).toBe(0);
});

test("dot-files and dot-folders are skipped, other files are counted and left out", async () => {
  const root = await folderOf(
    ".ipynb_checkpoints/a.png",
    "notes.txt",
    "a/.hidden.png",
    "a/.cache/b.png",
    "a/1.png",
    "a/1.txt",
    "a/png",
    "b/1.png",
    "b/Thumbs.db",
  );
  const { classes, files, ignoredFiles } = await scanFolder(root);
  expect(classes).toEqual(["a", "b"]);
  expect(files.map(({ file }) => file)).toEqual(["a/1.png", "b/1.png"]);
  expect(ignoredFiles).toBe(3);
});

test("classes whose names begin alike keep their pictures apart", async () => {
  const root = await folderOf("a/1.png", "a-b/1.png", "a/2.png"); // "-" sorts before "/".
  const { classes, files } = await scanFolder(root);
  expect(classes).toEqual(["a", "a-b"]);
  expect(files.map(({ label }) => label)).toEqual([0, 0, 1]);
});

test("pictures in folders below a class's folder belong to the class", async () => {
  const root = await folderOf("a/2020/may/1.png", "a/1.png", "b/1.png");
  const { files } = await scanFolder(root);
  expect(files.map(({ file, label }) => `${label} ${file}`)).toEqual([
    "0 a/1.png",
    "0 a/2020/may/1.png",
    "1 b/1.png",
  ]);
});

test("a missing path is refused as a path on the workers, with how to send it there", async () => {
  expect(await refusal(scanFolder("/no/such/folder"))).toBe(
    "/no/such/folder does not exist on the workers: the path of a data set is a path on the workers; " +
      'send pictures of another machine with "bitfleet data push /no/such/folder NAME" and name them with --data store:NAME',
  );
  expect(await refusal(listFolder("/no/such/folder", "client"))).toBe(
    "/no/such/folder does not exist",
  );
});

test("a file in place of the folder is refused", async () => {
  const root = await folderOf("a.zip");
  expect(await refusal(scanFolder(join(root, "a.zip")))).toBe(`${root}/a.zip is not a folder`);
});

test("a folder with nothing of use in it is refused", async () => {
  const root = await folderOf("readme.txt", ".git/x.png");
  expect(await refusal(scanFolder(root))).toBe(`${root} has no class folders and no images`);
});

test("pictures without class folders are refused with what to do", async () => {
  const root = await folderOf("1.png", "2.png");
  expect(await refusal(scanFolder(root))).toBe(
    `${root} has 2 pictures but no class folders: put those of each class into a folder of its own`,
  );
});

test("a single class is refused", async () => {
  const root = await folderOf("cat/1.png");
  expect(await refusal(scanFolder(root))).toBe(
    `${root} has one class only, "cat": training needs at least two class folders`,
  );
});

test("a class folder without a picture is refused by name", async () => {
  const root = await folderOf("cat/1.png", "dog/1.txt");
  expect(await refusal(scanFolder(root))).toBe(
    `the class folder ${root}/dog has no JPEG, PNG, WebP or GIF in it`,
  );
});

test("validation takes its labels from the training classes, and may lack some", async () => {
  const root = await folderOf("b/1.png");
  const { files } = await scanFolder(root, ["a", "b"]);
  expect(files).toEqual([{ file: "b/1.png", label: 1 }]);
});

test("a validation class that training lacks is refused by name", async () => {
  const root = await folderOf("a/1.png", "c/1.png");
  expect(await refusal(scanFolder(root, ["a", "b"]))).toBe(
    `${root} has the class "c", which the training data lacks`,
  );
});

test("links inside the folder are followed", async () => {
  const root = await folderOf("a/1.png", "b/1.png");
  await symlink("../a/1.png", join(root, "b/2.png"));
  await symlink("a", join(root, "c"));
  const { classes, files } = await scanFolder(root);
  expect(classes).toEqual(["a", "b", "c"]);
  expect(files.map(({ file }) => file)).toEqual(["a/1.png", "b/1.png", "b/2.png", "c/1.png"]);
});

test("a folder that is itself reached by a link is fine", async () => {
  const root = await folderOf("a/1.png", "b/1.png");
  const link = join(await temporaryFolder(), "link");
  await symlink(root, link);
  expect((await scanFolder(link)).files).toHaveLength(2);
});

test.each([
  ["file", "b/2.png", "/etc/hostname"],
  ["folder", "b/2", "/etc"],
  ["class folder", "c", "/etc"],
])("a %s that leads out of the folder is refused", async (_, link, target) => {
  const root = await folderOf("a/1.png", "b/1.png");
  await symlink(target, join(root, link));
  expect(await refusal(scanFolder(root))).toBe(
    `${root}/${link} is a link that leads out of ${root}`,
  );
});

test("a folder beside the root whose name begins alike is outside", async () => {
  const parent = await folderOf("data/a/1.png", "data/b/1.png", "data2/x.png");
  await symlink("../../data2/x.png", join(parent, "data/b/2.png"));
  expect(await refusal(scanFolder(join(parent, "data")))).toContain("leads out of");
});

test("a link that leads nowhere, or round in a circle, is refused by name", async () => {
  const root = await folderOf("a/1.png", "b/1.png");
  await symlink("nothing.png", join(root, "b/2.png"));
  expect(await refusal(scanFolder(root))).toBe(`the link ${root}/b/2.png leads nowhere`);
  const circle = await folderOf("a/1.png", "b/1.png");
  await symlink("../b", join(circle, "b/again"));
  expect(await refusal(scanFolder(circle))).toBe(
    `${circle}/b/again is a link to a folder that it is in`,
  );
});
