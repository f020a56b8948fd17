import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { ConfigError, FailureError } from "../../src/job/problem.js";
import type { Store } from "../../src/store/store.js";

/** What every store has to do, whatever is behind it. `make` gives an empty one. */
export function storeContract(kind: string, make: () => Promise<Store>): void {
  describe(`a store in ${kind}`, () => {
    test("gives back what was put, in chunks, with its checksum and size", async () => {
      const store = await make();
      const bytes = Buffer.alloc(3_500_000, "some bytes of a checkpoint ");
      const parts = [bytes.subarray(0, 1), bytes.subarray(1, 2_000_000), bytes.subarray(2_000_000)];
      const stored = await store.put("jobs/a/file.bin", parts);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      expect(stored).toEqual({ sha256, bytes: bytes.length });
      expect((await read(store, "jobs/a/file.bin")).equals(bytes)).toBe(true);
      expect(await store.stat("jobs/a/file.bin")).toEqual({ bytes: bytes.length });
    });

    test("takes chunks from an asynchronous source, and none at all", async () => {
      const store = await make();
      const source = async function* (): AsyncIterable<Uint8Array> {
        yield Buffer.from("ab");
        yield Buffer.from("");
        yield Buffer.from("c");
      };
      await store.put("abc", source());
      expect((await read(store, "abc")).toString()).toBe("abc");
      await store.put("nothing", []);
      expect((await read(store, "nothing")).length).toBe(0);
      expect(await store.stat("nothing")).toEqual({ bytes: 0 });
    });

    test("replaces what was there before", async () => {
      const store = await make();
      await store.put("a", [Buffer.from("a longer text")]);
      await store.put("a", [Buffer.from("short")]);
      expect((await read(store, "a")).toString()).toBe("short");
    });

    test("stores under a new name only, and leaves alone what is there", async () => {
      const store = await make();
      const stored = await store.putNew("jobs/a", [Buffer.from("first")]);
      expect(stored?.bytes).toBe(5);
      expect(await store.putNew("jobs/a", [Buffer.from("second")])).toBeUndefined();
      expect((await read(store, "jobs/a")).toString()).toBe("first");
      expect(await store.list("")).toEqual(["jobs/a"]);
    });

    test("lets one of many store a new name at the same moment", async () => {
      const store = await make();
      const texts = Array.from({ length: 8 }, (_, i) => `text ${i}`);
      const stored = await Promise.all(texts.map((text) => store.putNew("a", [Buffer.from(text)])));
      expect(stored.filter((one) => one !== undefined)).toHaveLength(1);
      const winner = texts[stored.findIndex((one) => one !== undefined)];
      expect((await read(store, "a")).toString()).toBe(winner);
    });

    test("has the old file or the new one at every moment of a replacement", async () => {
      const store = await make();
      await store.put("a", [Buffer.from("start")]);
      const looking = new AbortController();
      const missed = (async () => {
        let times = 0;
        while (!looking.signal.aborted) if ((await store.stat("a")) === undefined) times += 1;
        return times;
      })();
      for (let i = 0; i < 100; i++) await store.put("a", [Buffer.from(`version ${i}`)]);
      looking.abort();
      expect(await missed).toBe(0);
    });

    test("keeps the old file when a new one fails half way, and throws the source's own error", async () => {
      const store = await make();
      await store.put("jobs/a", [Buffer.from("old")]);
      const failing = async function* (): AsyncIterable<Uint8Array> {
        yield Buffer.from("new");
        throw new Error("the source broke");
      };
      await expect(store.put("jobs/a", failing())).rejects.toThrow("the source broke");
      await expect(store.put("jobs/b", failing())).rejects.toThrow("the source broke");
      expect((await read(store, "jobs/a")).toString()).toBe("old");
      expect(await store.list("")).toEqual(["jobs/a"]);
    });

    test("shows nothing of a file until it is whole", async () => {
      const store = await make();
      const seen: unknown[] = [];
      const source = async function* (): AsyncIterable<Uint8Array> {
        yield Buffer.alloc(100_000);
        seen.push(await store.stat("a"), await store.list(""));
        yield Buffer.alloc(100_000);
      };
      await store.put("a", source());
      expect(seen).toEqual([undefined, []]);
      expect(await store.list("")).toEqual(["a"]);
    });

    test("lists names by prefix, sorted by code unit", async () => {
      const store = await make();
      for (const name of [
        "jobs/b/2",
        "jobs/a/10",
        "jobs/a/9",
        "jobs/ab/1",
        "Index",
        "jobs/a/Z.x",
      ]) {
        await store.put(name, [Buffer.from("x")]);
      }
      expect(await store.list("jobs/a/")).toEqual(["jobs/a/10", "jobs/a/9", "jobs/a/Z.x"]);
      expect(await store.list("jobs/a/1")).toEqual(["jobs/a/10"]);
      expect(await store.list("jobs/a")).toHaveLength(4);
      expect(await store.list("")).toEqual([
        "Index",
        "jobs/a/10",
        "jobs/a/9",
        "jobs/a/Z.x",
        "jobs/ab/1",
        "jobs/b/2",
      ]);
      expect(await store.list("no/such/")).toEqual([]);
    });

    test("deletes, and does not mind when there is nothing to delete", async () => {
      const store = await make();
      await store.put("a/b", [Buffer.from("x")]);
      await store.delete("a/b");
      await store.delete("a/b");
      await store.delete("c/d");
      expect(await store.stat("a/b")).toBeUndefined();
      expect(await store.list("")).toEqual([]);
    });

    test("says which file is missing", async () => {
      const store = await make();
      await expect(read(store, "jobs/a/none.npz")).rejects.toThrow("jobs/a/none.npz is not in the");
      await expect(read(store, "jobs/a/none.npz")).rejects.toBeInstanceOf(FailureError);
      expect(await store.stat("jobs/a/none.npz")).toBeUndefined();
    });

    test("can be left in the middle of a file", async () => {
      const store = await make();
      await store.put("a", [Buffer.alloc(5_000_000)]);
      for await (const chunk of store.get("a")) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      await store.delete("a");
    });

    test("takes many puts at once, of the same name too", async () => {
      const store = await make();
      const texts = Array.from({ length: 12 }, (_, i) => String(i).repeat(50_000));
      await Promise.all(texts.map((text, i) => store.put(`many/${i % 4}`, [Buffer.from(text)])));
      for (const name of await store.list("many/")) {
        expect(texts).toContain((await read(store, name)).toString());
      }
      expect(await store.list("")).toHaveLength(4);
    });

    test.each([
      "",
      "/etc/passwd",
      "../a",
      "a/../b",
      "a//b",
      "a/",
      ".",
      "a/.hidden",
      "a b",
      "a\\b",
      "a\0b",
      "ü",
      "a:b",
      "x".repeat(201),
      "a/b/c/d/e/f/g/h/i",
    ])("refuses the name %j everywhere", async (name) => {
      const store = await make();
      await expect(store.put(name, [])).rejects.toBeInstanceOf(ConfigError);
      await expect(read(store, name)).rejects.toBeInstanceOf(ConfigError);
      await expect(store.stat(name)).rejects.toBeInstanceOf(ConfigError);
      await expect(store.delete(name)).rejects.toBeInstanceOf(ConfigError);
      expect(await store.list("")).toEqual([]);
    });

    test("refuses a prefix that leads out", async () => {
      const store = await make();
      await expect(store.list("../")).rejects.toBeInstanceOf(ConfigError);
      await expect(store.list("a/../../")).rejects.toBeInstanceOf(ConfigError);
    });
  });
}

export async function read(store: Store, name: string): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of store.get(name)) parts.push(part);
  return Buffer.concat(parts);
}
