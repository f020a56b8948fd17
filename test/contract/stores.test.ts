import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  type MultipartUpload,
} from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { FailureError } from "../../src/job/problem.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { openStore } from "../../src/store/openStore.js";
import { S3Store, type S3Options } from "../../src/store/s3Store.js";
import { StoreError } from "../../src/store/store.js";
import { HttpFaults, type Fault } from "../support/httpFaults.js";
import { credentials, S3Server } from "../support/s3Server.js";
import { read, storeContract } from "./storeContract.js";

let server: S3Server;
let stores = 0;

beforeAll(async () => {
  server = await S3Server.start();
}, 90_000);

afterAll(() => server.kill());

const smallParts = { credentials, partBytes: 5 * 2 ** 20 } as const;

/** Each test has a prefix of its own. */
async function open(options: S3Options = smallParts, endpoint?: string): Promise<S3Store> {
  const address = server.address(`store-${(stores += 1)}/deep`);
  const store = await S3Store.open(
    { ...address, endpoint: endpoint ?? address.endpoint },
    { credentials, ...options },
  );
  onTestFinished(() => store.close());
  return store;
}

async function faulty(fault: Fault, options: S3Options = {}) {
  const faults = await HttpFaults.before(server.port);
  onTestFinished(() => faults.close());
  const store = await open({ requestMs: 300, attempts: 2, ...options }, faults.endpoint);
  faults.fault = fault;
  return { store, faults };
}

async function uploads(): Promise<readonly MultipartUpload[]> {
  const client = server.client();
  const found = await client.send(new ListMultipartUploadsCommand({ Bucket: "fleet" }));
  client.destroy();
  return found.Uploads ?? [];
}

storeContract("S3", () => open());

const large = Buffer.alloc(12 * 2 ** 20 + 5, "parameters and momentum ");

async function* broken(): AsyncIterable<Uint8Array> {
  yield large;
  await Promise.resolve();
  throw new Error("the source broke");
}

describe("a store in S3", () => {
  test("uploads a large file in parts, and gives back its bytes in pieces", async () => {
    const { store, faults } = await faulty("none", { ...smallParts, requestMs: 20_000 });
    const stored = await store.put("a", [large]);
    expect(stored.bytes).toBe(large.length);
    expect(faults.seen.filter((line) => line.includes("partNumber="))).toHaveLength(3);
    expect((await read(store, "a")).equals(large)).toBe(true);
    expect(await store.putNew("a", [large])).toBeUndefined();
    expect(await uploads()).toEqual([]);
  });

  test("leaves no upload behind when the source breaks, and shows nothing of it", async () => {
    const store = await open();
    await expect(store.put("a", broken())).rejects.toThrow("the source broke");
    expect(await store.list("")).toEqual([]);
    expect(await uploads()).toEqual([]);
  });

  test("shows nothing of an upload whose process was killed", async () => {
    const name = `killed-${stores}`;
    const program = join(packageRoot(), "dist", "test", "support", "stalledPut.js");
    const child = spawn(process.execPath, [program, name], {
      env: { ...process.env, ...server.environment(name) },
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    await once(child.stdout, "data");
    const begun = await uploads();
    expect(begun.map(({ Key }) => Key)).toEqual([`${name}/a`]);
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
    const next = await openStore(`s3://fleet/${name}`, server.environment());
    expect(await next.stat("a")).toBeUndefined();
    expect(await next.list("")).toEqual([]);
    await next.put("a", [Buffer.from("whole")]);
    expect((await read(next, "a")).toString()).toBe("whole");
    // This server says of every upload that it was begun in 2010, so that proving the store removes it.
    await next.prove();
    expect(await uploads()).toEqual([]);
  });

  test("goes by the server's clock when it removes what was never completed", async () => {
    const { store, faults } = await faulty("none", { requestMs: 20_000 });
    const client = server.client();
    onTestFinished(() => client.destroy());
    const Key = `store-${stores}/deep/a`;
    await client.send(new CreateMultipartUploadCommand({ Bucket: "fleet", Key }));
    const begun = new Date().toISOString();
    faults.rewrite = (text) => text.replaceAll(/(<Initiated>)[^<]*/g, `$1${begun}`);
    vi.useFakeTimers({ toFake: ["Date"], now: new Date("2040-01-01") });
    onTestFinished(() => void vi.useRealTimers());
    await store.prove();
    expect((await uploads()).map((upload) => upload.Key)).toEqual([Key]);
    // Now the server says 2010 again, and our clock that 2010 is still to come.
    faults.rewrite = undefined;
    vi.setSystemTime(new Date("2009-01-01"));
    await store.prove();
    expect(await uploads()).toEqual([]);
  });

  test("leaves others' uploads alone: those outside its prefix, and all where it has none", async () => {
    const client = server.client();
    onTestFinished(() => client.destroy());
    const bucket = `shared-${stores}`;
    await server.addBucket(bucket);
    const begun = { Bucket: bucket, Key: "others/backup" };
    await client.send(new CreateMultipartUploadCommand(begun));
    for (const prefix of ["", "fleet"]) {
      const store = await S3Store.open({ ...server.address(prefix), bucket }, { credentials });
      onTestFinished(() => store.close());
      expect(await store.prove()).toEqual([]);
      expect(await store.list("")).toEqual([]);
    }
    const found = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    expect(found.Uploads?.map(({ Key }) => Key)).toEqual(["others/backup"]);
  });

  test("is refused when it is proved where the server ignores conditions", async () => {
    const { store, faults } = await faulty("none", { requestMs: 20_000 });
    expect(await store.prove()).toEqual([]);
    faults.dropped.add("if-none-match");
    await expect(store.prove()).rejects.toBeInstanceOf(StoreError);
    await expect(store.prove()).rejects.toThrow(
      /^the store s3:\/\/fleet\/store-\d+\/deep: new names cannot be told from old ones: http:\S+ ignores If-None-Match, .* a folder as the store$/,
    );
    expect(await store.list("")).toEqual([]);
  });

  test("names what cannot be done when it is proved, and the reason", async () => {
    const { store, faults } = await faulty("none", { requestMs: 20_000 });
    faults.fault = "full";
    await expect(store.prove()).rejects.toThrow(
      /a first object cannot be written to try it: .* has no room left/,
    );
  });

  test("works on a server that refuses the headers of checksums, and behind a path", async () => {
    const { store, faults } = await faulty("no-checksums", { ...smallParts, requestMs: 20_000 });
    await store.prove();
    await store.put("a", [large]);
    expect((await read(store, "a")).equals(large)).toBe(true);

    faults.path = "/storage/v1/s3";
    const behind = await open({ requestMs: 20_000 }, `${faults.endpoint}/storage/v1/s3`);
    await behind.prove();
    await behind.put("b", [Buffer.from("x")]);
    expect(await behind.list("")).toEqual(["b"]);
    expect((await read(behind, "b")).toString()).toBe("x");
  });

  test.each([
    ["an upload", large],
    ["a small file", Buffer.from("small")],
  ])("knows %s that is there although the answer was lost", async (_, bytes) => {
    const { store, faults } = await faulty("none", { ...smallParts, requestMs: 20_000 });
    faults.fault = "lose";
    expect((await store.put("a", [bytes])).bytes).toBe(bytes.length);
    faults.fault = "lose";
    expect((await store.putNew("b", [bytes]))?.bytes).toBe(bytes.length);
    expect(faults.fault).toBe("none");
    expect(await store.putNew("b", [bytes])).toBeUndefined();
    expect((await read(store, "a")).equals(bytes)).toBe(true);
    expect((await read(store, "b")).equals(bytes)).toBe(true);
    expect(await uploads()).toEqual([]);
  });

  test("ends a read where the file was replaced and the server ignores If-Match", async () => {
    const { store, faults } = await faulty("none", { requestMs: 20_000 });
    faults.dropped.add("if-match");
    await store.put("a", [large]);
    const pieces = store.get("a")[Symbol.asyncIterator]();
    await pieces.next();
    await store.put("a", [Buffer.alloc(large.length, "another")]);
    await expect(pieces.next()).rejects.toThrow("a cannot be read: it was replaced meanwhile");
  });

  test("reads on where a connection broke off in the middle of a piece", async () => {
    const { store, faults } = await faulty("none", { requestMs: 20_000 });
    await store.put("a", [large]);
    faults.fault = "cut";
    expect((await read(store, "a")).equals(large)).toBe(true);
    expect(faults.fault).toBe("none");
  });

  test("says that there is no room, and keeps the old file", async () => {
    const { store, faults } = await faulty("none", { requestMs: 20_000 });
    await store.put("a", [Buffer.from("old")]);
    faults.fault = "full";
    const putting = store.put("a", [Buffer.from("new")]);
    await expect(putting).rejects.toBeInstanceOf(StoreError);
    await expect(putting).rejects.toThrow(
      /a cannot be written: http:.* has no room left \(InsufficientStorage\)$/,
    );
    await expect(store.put("b", [large])).rejects.toThrow("has no room left");
    expect((await read(store, "a")).toString()).toBe("old");
    expect(await store.stat("b")).toBeUndefined();
  });

  test.each(["stall", "drop"] as const)(
    "gives up within its bounds when the server does not answer: %s",
    async (fault) => {
      const { store, faults } = await faulty(fault);
      const expected = fault === "stall" ? "does not answer in time" : "cannot be reached";
      await expect(store.put("a", [Buffer.from("x")])).rejects.toThrow(expected);
      await expect(store.stat("a")).rejects.toBeInstanceOf(StoreError);
      await expect(store.list("")).rejects.toBeInstanceOf(StoreError);
      await expect(read(store, "a")).rejects.toBeInstanceOf(StoreError);
      expect(faults.seen.length).toBeGreaterThanOrEqual(4);
    },
  );

  test("names a bucket that is not there, credentials that are refused, and a server that is gone", async () => {
    const none = S3Store.open({ ...server.address(), bucket: "no-such" }, { credentials });
    await expect(none).rejects.toThrow("there is no bucket no-such");
    await expect(none).rejects.toBeInstanceOf(FailureError);

    const strict = await S3Server.start({ refusing: true });
    onTestFinished(() => strict.kill());
    const refused = S3Store.open(strict.address(), { credentials });
    await expect(refused).rejects.toThrow("refuses the credentials (InvalidAccessKeyId)");
    await strict.kill();
    const gone = S3Store.open(strict.address(), { credentials, attempts: 1 });
    await expect(gone).rejects.toThrow("cannot be reached (ECONNREFUSED)");
  }, 90_000);

  test("a server killed in the middle of an upload is a failure of the store", async () => {
    const doomed = await S3Server.start();
    onTestFinished(() => doomed.kill());
    const store = await S3Store.open(doomed.address(), { ...smallParts, attempts: 1 });
    onTestFinished(() => store.close());
    const source = async function* (): AsyncIterable<Uint8Array> {
      yield large;
      await doomed.kill();
      yield large;
    };
    await expect(store.put("a", source())).rejects.toBeInstanceOf(StoreError);
  }, 90_000);
});
