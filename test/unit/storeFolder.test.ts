import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { link, mkdir, open, readdir, readFile, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test, vi } from "vitest";
import { FailureError } from "../../src/job/problem.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { StoreError } from "../../src/store/store.js";
import { isDeadPut, putName } from "../../src/store/unfinishedPut.js";
import { MemoryStore } from "./memoryStore.js";
import { read, storeContract } from "../contract/storeContract.js";
import { temporaryFolder, writeFiles } from "./temporaryFolder.js";

function refused(code: string, syscall: string): () => Promise<never> {
  return () => Promise.reject(Object.assign(new Error(`${code}: ${syscall}`), { code, syscall }));
}

/** As CIFS, exFAT or a disk made of buckets. */
const poor = { link: refused("EPERM", "link"), sync: refused("EINVAL", "fsync") };

storeContract("a folder", async () => FolderStore.open(await temporaryFolder()));
storeContract("a folder that has neither hard links nor fsync of folders", async () =>
  FolderStore.open(await temporaryFolder(), poor),
);
storeContract("memory", async () => new MemoryStore());

test("a store makes its folder, and the name of a file there is known", async () => {
  const root = join(await temporaryFolder(), "deep/store");
  const store = await FolderStore.open(root);
  await store.put("jobs/a/weights.npz", [Buffer.from("x")]);
  expect(store.path("jobs/a/weights.npz")).toBe(join(root, "jobs/a/weights.npz"));
  expect(await readFile(store.path("jobs/a/weights.npz"), "utf8")).toBe("x");
});

test("a store where a file lies in the way is refused by its path", async () => {
  const root = await temporaryFolder();
  await writeFiles(root, { store: "x" });
  const opening = FolderStore.open(join(root, "store"));
  await expect(opening).rejects.toThrow(`the store folder ${root}/store cannot be opened`);
  await expect(opening).rejects.toBeInstanceOf(FailureError);
});

test("a full disk is a failure with the file's name, and leaves nothing behind", async () => {
  const root = await temporaryFolder();
  const store = await FolderStore.open(root);
  await store.put("jobs/a/file", [Buffer.from("old")]);
  const handle = await open(join(root, "jobs/a/file"));
  const prototype: unknown = Object.getPrototypeOf(handle);
  await handle.close();
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), {
    code: "ENOSPC",
    syscall: "write",
  });
  // A cast: the class of file handles is not exported. Only `write` is used of it.
  const write = vi.spyOn(prototype as Pick<typeof handle, "write">, "write");
  onTestFinished(() => write.mockRestore());
  write.mockRejectedValue(full);
  const putting = store.put("jobs/a/file", [Buffer.from("new")]);
  await expect(putting).rejects.toBeInstanceOf(FailureError);
  await expect(putting).rejects.toThrow(
    `jobs/a/file cannot be written to the store ${root}: the disk is full`,
  );
  expect(write).toHaveBeenCalled();
  expect(await readdir(join(root, "jobs/a"))).toEqual(["file"]);
  expect((await read(store, "jobs/a/file")).toString()).toBe("old");
});

test("a put is on the disk before it has its name, and the folder afterwards", async () => {
  const root = await temporaryFolder();
  const store = await FolderStore.open(root);
  await store.put("a/b", [Buffer.from("x")]);
  const handle = await open(store.path("a/b"));
  const prototype: unknown = Object.getPrototypeOf(handle);
  await handle.close();
  // A cast: the class of file handles is not exported. Only `sync` is used of it.
  const target = prototype as { sync: () => Promise<void> };
  const names: (readonly string[])[] = [];
  const sync = vi.spyOn(target, "sync");
  onTestFinished(() => sync.mockRestore());
  sync.mockImplementation(async () => {
    names.push((await readdir(join(root, "a"))).filter((name) => !name.startsWith(".")));
  });
  await store.put("a/c", [Buffer.from("y")]);
  expect(names).toEqual([["b"], ["b", "c"]]);
});

test("a write that takes only part of a chunk is gone on with", async () => {
  const store = await FolderStore.open(await temporaryFolder());
  await store.put("a", [Buffer.from("x")]);
  const handle = await open(store.path("a"));
  const prototype: unknown = Object.getPrototypeOf(handle);
  await handle.close();
  // A cast: the class of file handles is not exported. Only `write` is used of it.
  const target = prototype as {
    write: (bytes: Uint8Array, offset?: number, length?: number) => Promise<unknown>;
  };
  const whole = target.write;
  const write = vi.spyOn(target, "write");
  onTestFinished(() => write.mockRestore());
  write.mockImplementation(function (this: typeof target, bytes, offset = 0) {
    return whole.call(this, bytes, offset, Math.min(3, bytes.length - offset));
  });
  const text = "more than three bytes";
  expect((await store.put("a", [Buffer.from(text)])).bytes).toBe(text.length);
  expect(await readFile(store.path("a"), "utf8")).toBe(text);
});

test("a killed process leaves the old file, and the next store clears its remains away", async () => {
  const root = await temporaryFolder();
  const store = await FolderStore.open(root);
  await store.put("jobs/a/file", [Buffer.from("old")]);
  // It writes under the name that a put would use, and is killed before the rename.
  const name = putName("0000").replace(`-${process.pid}-`, "-PID-");
  const script =
    `const fs = require("node:fs"); const name = ${JSON.stringify(name)}.replace("PID", process.pid);` +
    `fs.writeFileSync(${JSON.stringify(join(root, "jobs/a"))} + "/" + name, "half");` +
    `console.log(name); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  expect(await readdir(join(root, "jobs/a"))).toHaveLength(2);

  await FolderStore.open(root);
  expect(await readdir(join(root, "jobs/a"))).toHaveLength(2); // Its writer still lives.
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
  const next = await FolderStore.open(root);
  expect(await readdir(join(root, "jobs/a"))).toEqual(["file"]);
  expect((await read(next, "jobs/a/file")).toString()).toBe("old");
});

test("another machine's unfinished file is cleared only when it has been silent for an hour", async () => {
  const folder = await temporaryFolder();
  const nobody = 2 ** 30; // No process here has this id, which says nothing about other machines.
  const path = join(folder, `.put-0othermachine0-${nobody}-1234`);
  await writeFile(path, "half");
  expect(await isDeadPut(path)).toBe(false);
  const minutesAgo = (minutes: number): number => Date.now() / 1000 - minutes * 60;
  await utimes(path, minutesAgo(59), minutesAgo(59));
  expect(await isDeadPut(path)).toBe(false);
  await utimes(path, minutesAgo(61), minutesAgo(61));
  expect(await isDeadPut(path)).toBe(true);
});

test("files that are no unfinished puts are never cleared away, however old", async () => {
  const root = await temporaryFolder();
  await mkdir(join(root, "jobs"));
  for (const name of [".put", ".put-x", "notes.txt", "put-0-1-2"]) {
    await writeFile(join(root, "jobs", name), "mine");
    await utimes(join(root, "jobs", name), 1, 1);
  }
  await FolderStore.open(root);
  expect(await readdir(join(root, "jobs"))).toHaveLength(4);
});

test("a folder of blobs is looked through when something is first written there, and not at every start", async () => {
  const root = await temporaryFolder();
  const dead = ["ab", "cd"].map((folder) => join(root, "data/blobs", folder, ".put-0x0-1-1234"));
  for (const path of dead) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, "half");
    await utimes(path, 1, 1);
  }
  const store = await FolderStore.open(root);
  await store.putNew("data/blobs/ab/abcd", [Buffer.from("whole")]);
  expect(await readdir(join(root, "data/blobs/ab"))).toEqual(["abcd"]);
  expect(await readdir(join(root, "data/blobs/cd"))).toHaveLength(1);
  await store.putNew("data/blobs/cd/cdef", [Buffer.from("whole")]);
  expect(await readdir(join(root, "data/blobs/cd"))).toEqual(["cdef"]);
});

/** A store, and beside it a folder with a file that is nobody's business. */
async function storeWithSecret() {
  const place = await temporaryFolder();
  await writeFiles(place, { "private/secret": "secret", "store/jobs/a/plain": "plain" });
  const root = join(place, "store");
  const store = await FolderStore.open(root);
  return { store, root, secret: join(place, "private/secret") };
}

test("a link in place of a file is not followed", async () => {
  const { store, root, secret } = await storeWithSecret();
  await symlink(secret, join(root, "jobs/a/weights.npz"));
  await symlink("plain", join(root, "jobs/a/inner"));
  for (const name of ["jobs/a/weights.npz", "jobs/a/inner"]) {
    expect(await store.stat(name), name).toBeUndefined();
    await expect(read(store, name), name).rejects.toBeInstanceOf(FailureError);
    await expect(read(store, name), name).rejects.toThrow("links are not followed");
    await expect(store.file(name), name).rejects.toThrow("links are not followed");
    await store.delete(name);
  }
  expect(await store.list("jobs/")).toEqual(["jobs/a/plain"]);
  expect(await readFile(secret, "utf8")).toBe("secret");
});

test("a link in place of a folder is not followed out of the store", async () => {
  const { store, root, secret } = await storeWithSecret();
  await symlink(dirname(secret), join(root, "jobs/b"));
  const refused = "links are not followed";
  await expect(store.stat("jobs/b/secret")).rejects.toThrow(refused);
  await expect(read(store, "jobs/b/secret")).rejects.toThrow(refused);
  await expect(store.list("jobs/b/")).rejects.toThrow(refused);
  await expect(store.delete("jobs/b/secret")).rejects.toThrow(refused);
  await expect(store.put("jobs/b/secret", [Buffer.from("x")])).rejects.toThrow(refused);
  await expect(store.putNew("jobs/b/new", [Buffer.from("x")])).rejects.toThrow(refused);
  expect(await store.list("jobs/")).toEqual(["jobs/a/plain"]);
  expect(await readdir(dirname(secret))).toEqual(["secret"]);
  expect(await readFile(secret, "utf8")).toBe("secret");
});

test("a pipe in place of a file is refused, and nobody waits for its other end", async () => {
  const { store, root } = await storeWithSecret();
  await promisify(execFile)("mkfifo", [join(root, "jobs/a/weights.npz")]);
  expect(await store.stat("jobs/a/weights.npz")).toBeUndefined();
  await expect(read(store, "jobs/a/weights.npz")).rejects.toThrow("no plain file");
});

test("the folder of a store may be a link itself", async () => {
  const { root } = await storeWithSecret();
  await symlink(root, `${root}-link`);
  const store = await FolderStore.open(`${root}-link`);
  expect((await read(store, "jobs/a/plain")).toString()).toBe("plain");
  expect(await store.list("")).toEqual(["jobs/a/plain"]);
});

test("a store is proved once: what it lacks is told, and what it cannot do without is refused", async () => {
  const root = await temporaryFolder();
  expect(await (await FolderStore.open(root)).prove()).toEqual([]);
  expect(await (await FolderStore.open(root, poor)).prove()).toEqual([
    `the store ${root} has no hard links, so that new names are claimed by files beside them`,
    `the store ${root} cannot force folders to disk: a power cut may take what was saved just before it`,
  ]);
  const full = { ...poor, link: refused("ENOSPC", "link") };
  expect(await (await FolderStore.open(root, full)).prove()).toEqual([
    `the store ${root} takes nothing at the moment: the disk is full`,
  ]);
  const broken = { ...poor, sync: refused("EIO", "fsync") };
  const proving = (await FolderStore.open(root, broken)).prove();
  await expect(proving).rejects.toBeInstanceOf(StoreError);
  await expect(proving).rejects.toThrow(
    `the store ${root}: a first file cannot be written to try it: the disk has an error; the process needs a folder that it may write to, the same on every machine`,
  );
  expect(await readdir(root)).toEqual([]);
});

test("without hard links the claim of a live process counts, and that of a killed one does not", async () => {
  const root = await temporaryFolder();
  const store = await FolderStore.open(root, poor);
  const claim = join(root, ".claim-a-0");
  await writeFile(claim, putName("0000"));
  expect(await store.putNew("a", [Buffer.from("x")])).toBeUndefined();
  expect(await store.list("")).toEqual([]);

  const child = spawn(process.execPath, ["-e", ""]);
  await once(child, "exit");
  await writeFile(claim, putName("0000").replace(`-${process.pid}-`, `-${child.pid ?? 0}-`));
  expect((await store.putNew("a", [Buffer.from("x")]))?.bytes).toBe(1);
  // What two might remove at once stays; the claim behind it was ours.
  expect(await readdir(root)).toEqual([".claim-a-0", "a"]);
  expect(await store.putNew("a", [Buffer.from("y")])).toBeUndefined();
  expect((await read(store, "a")).toString()).toBe("x");
});

test("a hard link whose answer was lost is known as ours", async () => {
  const root = await temporaryFolder();
  const store = await FolderStore.open(root, {
    sync: poor.sync,
    link: async (from, to) => {
      await link(from, to);
      await link(from, to); // A network disk's client asks again.
    },
  });
  expect((await store.putNew("a", [Buffer.from("x")]))?.bytes).toBe(1);
  expect(await store.putNew("a", [Buffer.from("y")])).toBeUndefined();
});

test("a folder goes with its last file, and the folders above that are empty then", async () => {
  const root = await temporaryFolder();
  const store = await FolderStore.open(root);
  await store.put("predict/x/000", [Buffer.from("a")]);
  await store.put("predict/x/001", [Buffer.from("b")]);
  await store.put("jobs/j/w", [Buffer.from("c")]);
  await store.delete("predict/x/000");
  expect(await store.list("")).toEqual(["jobs/j/w", "predict/x/001"]);
  await store.delete("predict/x/001");
  await store.delete("predict/x/001");
  expect(await readdir(root)).toEqual(["jobs"]);
});

test("empty folders that a killed process has left are gone once the store is opened", async () => {
  const root = await temporaryFolder();
  await mkdir(join(root, "predict", "x"), { recursive: true });
  await (await FolderStore.open(root)).put("jobs/j/w", [Buffer.from("c")]);
  expect(await readdir(root)).toEqual(["jobs"]);
});

test("files come and go in one folder at once, and every put finds its folder", async () => {
  const root = await temporaryFolder();
  const store = await FolderStore.open(root);
  const other = await FolderStore.open(root);
  const kept = store.put("a/kept", [Buffer.from("k")]);
  await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const [mine, theirs] = i % 2 === 0 ? [store, other] : [other, store];
      await mine.put(`b/c/${i}`, [Buffer.from("x")]);
      await theirs.delete(`b/c/${i}`);
      await theirs.list("");
    }),
  );
  await kept;
  expect(await store.list("")).toEqual(["a/kept"]);
  expect(await readdir(root)).toEqual(["a"]);
});
