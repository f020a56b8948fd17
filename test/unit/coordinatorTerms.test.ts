import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";

import { StoreTerms } from "../../coordinator/terms.js";
import { StoreError, type Store } from "../../src/store/store.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { createLogger } from "../../src/process/logger.js";
import { temporaryFolder } from "./temporaryFolder.js";

const logger = createLogger({ process: "test" }, "silent");

const stop = new AbortController();
afterAll(() => stop.abort());

test("a term is claimed once, whoever asks, and the last claim is known to all", async () => {
  const folder = await temporaryFolder();
  const one = new StoreTerms(await FolderStore.open(folder), logger, stop.signal);
  const other = new StoreTerms(await FolderStore.open(folder), logger, stop.signal);
  expect(await one.highest()).toBe(0);
  const claims = await Promise.all([one.claim(1), other.claim(1)]);
  expect(claims.toSorted()).toEqual([false, true]);
  expect(await other.claim(2)).toBe(true);
  expect(await one.highest()).toBe(2);
  expect(await other.claim(3)).toBe(true);
  expect((await readdir(join(folder, "terms"))).toSorted()).toEqual(["2", "3"]);
  await other.giveBack(3);
  expect(await one.highest()).toBe(2);
});

test("a term in the store that nobody could follow is not believed, and hides no other", async () => {
  const folder = await temporaryFolder();
  const store = await FolderStore.open(folder);
  const terms = new StoreTerms(store, logger, stop.signal);
  await terms.claim(7);
  for (const forged of ["9007199254740990", "2147483647", "536870913"])
    await store.put(`terms/${forged}`, []);
  expect(await terms.highest()).toBe(7);
  await store.put("terms/536870912", []);
  expect(await terms.highest()).toBe(2 ** 29);
});

test("a store that takes nothing keeps nobody from the office", async () => {
  const store = await FolderStore.open(await temporaryFolder());
  const full: Store = Object.assign(Object.create(store) as Store, {
    putNew: () => Promise.reject(new StoreError("cannot write", "the disk is full", undefined)),
    delete: () => Promise.reject(new StoreError("cannot delete", "the disk is gone", undefined)),
  });
  const terms = new StoreTerms(full, logger, stop.signal);
  expect(await terms.claim(4)).toBe(true);
  await terms.giveBack(4);
});
