import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listFolder } from "../../src/data/folder.js";
import { labelled, type LabelledFiles } from "../../src/data/labels.js";
import { isLeftOut, kindOf, LeftOutCounts, leftOutText } from "../../src/job/leftOut.js";
import { ConfigError } from "../../src/job/problem.js";
import { linkRootsOf } from "../../src/process/linkRoots.js";
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
): Promise<LabelledFiles & { readonly leftOut: string | undefined }> {
  const listing = await listFolder(root, "worker");
  return { ...labelled(listing, known), leftOut: leftOutText(listing.leftOut) };
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
  const { classes, files, leftOut } = await scanFolder(root);
  expect(classes).toEqual(["Z", "a10", "a2", "b", "é"]);
  expect(files).toEqual([
    { file: "Z/z.jpeg", label: 0 },
    { file: "a10/x.webp", label: 1 },
    { file: "a2/y.gif", label: 2 },
    { file: "b/1.JPG", label: 3 },
    { file: "b/2.png", label: 3 },
    { file: "é/字 .PNG", label: 4 },
  ]);
  expect(leftOut).toBeUndefined();
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
  const { classes, files, leftOut } = await scanFolder(root);
  expect(classes).toEqual(["a", "b"]);
  expect(files.map(({ file }) => file)).toEqual(["a/1.png", "b/1.png"]);
  expect(leftOut).toBe("4 files: 2 .txt, 1 of the system, 1 without an extension");
});

test("what systems, archives and cameras leave is passed over and counted, by extension", async () => {
  const root = await folderOf(
    "lost+found/secret",
    "__MACOSX/a/._1.png",
    "$RECYCLE.BIN/x.png",
    "stray.png",
    "sums.sha256",
    "a/1.png",
    "a/@eaDir/1.png/SYNOPHOTO_THUMB_M.jpg",
    "a/deep/Thumbs.DB",
    "a/1.jfif",
    "a/2.JFIF",
    "a/3.tif",
    "b/1.png",
    "b/desktop.ini",
  );
  await chmod(join(root, "lost+found"), 0);
  const { classes, files, leftOut } = await scanFolder(root);
  await chmod(join(root, "lost+found"), 0o700);
  expect(classes).toEqual(["a", "b"]);
  expect(files.map(({ file }) => file)).toEqual(["a/1.png", "b/1.png"]);
  expect(leftOut).toBe(
    "11 files: 6 of the system, 2 .jfif, 1 .sha256, 1 .tif, 1 pictures in no class folder",
  );
});

test("of very many kinds the rarest are told together", () => {
  const counts = new LeftOutCounts();
  for (let i = 1; i <= 20; i += 1) counts.add(kindOf(`a.x${i}`), i);
  const list = counts.list();
  expect(list).toHaveLength(12);
  expect(list[0]).toEqual({ kind: ".x20", files: 20 });
  expect(list[11]).toEqual({ kind: "others", files: 45 });
  expect(isLeftOut(list)).toBe(true);
  expect(isLeftOut([{ kind: "\u001b[2J", files: 1 }])).toBe(false);
  expect(kindOf("a.\u001b[2J")).toBe("without an extension");
});

test.each([
  [["train/a", "train/b", "val/a", "val/b", "test/a"], "--data ROOT/train --validation ROOT/val"],
  [["Training/a", "Training/b", "TEST/a"], "--data ROOT/Training --validation ROOT/TEST"],
  [["train/a", "train/b", "valid/a", "other/a"], "--data ROOT/train --validation ROOT/valid"],
  [["train/a", "train/b"], "--data ROOT/train"],
  [["val/a", "test/a"], "--validation ROOT/val"],
])("the names of splits are no classes: %j", async (folders, uses) => {
  const root = await folderOf(...folders.map((folder) => `${folder}/1.png`));
  expect(await refusal(scanFolder(root))).toMatch(
    new RegExp(
      `^${root} has the folders .*: those are splits, and not classes; use ${uses.replaceAll("ROOT", root)}, or push each for itself$`,
    ),
  );
});

test("a class may be called train or test where the others are no splits", async () => {
  const root = await folderOf("car/1.png", "train/1.png");
  expect((await scanFolder(root)).classes).toEqual(["car", "train"]);
  const alone = await folderOf("train/1.png");
  expect((await scanFolder(alone, ["car", "train"])).files).toHaveLength(1);
  const stored = {
    root: "store:x",
    classes: ["train", "val"],
    files: ["train/1.png"],
    leftOut: [],
  };
  expect(() => labelled(stored)).toThrow(
    "store:x has the folders train, val: those are splits, and not classes; push the folder of each split for itself",
  );
});

test.each(["class folder", "picture"])(
  "a %s whose name is not UTF-8 is refused by it",
  async (what) => {
    const root = await folderOf("a/1.png", "b/1.png", "b/\ufffd.png");
    const bytes = Buffer.concat([
      Buffer.from(`${root}/${what === "picture" ? "b/" : ""}caf`),
      Buffer.from([0xe9]),
      Buffer.from(what === "picture" ? ".png" : ""),
    ]);
    if (what === "picture") await writeFile(bytes, "x");
    else await mkdir(bytes);
    const [folder, name] = what === "picture" ? [`${root}/b`, "caf\\xe9.png"] : [root, "caf\\xe9"];
    expect(await refusal(scanFolder(root))).toContain(
      `the folder ${folder} has the name "${name}", which is not UTF-8: rename it`,
    );
  },
);

test("a name with the sign of what cannot be read, which is UTF-8 itself, is a name", async () => {
  const root = await folderOf("a/1.png", "b/\ufffd.png");
  // Nobody needs these by name.
  await writeFile(Buffer.concat([Buffer.from(`${root}/b/`), Buffer.from([0xe9, 0x2e, 0x74])]), "x");
  expect((await scanFolder(root)).files).toHaveLength(2);
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
    `${root}/${link} is a link that leads out of ${root}: a worker follows those into folders that its BITFLEET_LINK_ROOTS names, and bitfleet data push follows all`,
  );
});

test("links out of the folder are followed for a client, and for a worker into the folders that it allows", async () => {
  const pool = await folderOf("pool/cats/1.png", "pool/dogs/1.png", "other/3.png");
  const root = await temporaryFolder();
  await symlink(join(pool, "pool/cats"), join(root, "cat"));
  await mkdir(join(root, "dog"));
  await symlink(join(pool, "pool/dogs/1.png"), join(root, "dog/2.png"));
  const files = ["cat/1.png", "dog/2.png"];
  expect((await listFolder(root, "client")).files).toEqual(files);
  const allowed = (...roots: readonly string[]) => listFolder(root, "worker", roots);
  expect((await allowed("/no/such", join(pool, "pool"))).files).toEqual(files);
  expect(await refusal(allowed())).toContain("leads out of");
  expect(await refusal(allowed(join(pool, "pool/cats")))).toContain("dog/2.png is a link");
  await symlink(join(pool, "other/3.png"), join(root, "dog/3.png"));
  expect(await refusal(allowed(join(pool, "pool")))).toContain("dog/3.png is a link");
  await symlink(root, join(root, "dog/again"));
  expect(await refusal(listFolder(root, "client"))).toContain(
    "is a link to a folder that it is in",
  );
});

test("the folders that links may lead into are a list of paths", () => {
  expect(linkRootsOf({})).toEqual([]);
  expect(linkRootsOf({ BITFLEET_LINK_ROOTS: "/a:/b c:" })).toEqual(["/a", "/b c"]);
  expect(() => linkRootsOf({ BITFLEET_LINK_ROOTS: "/a:b" })).toThrow(
    'BITFLEET_LINK_ROOTS names "b", but must name folders by paths from /',
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
