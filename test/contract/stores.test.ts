import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { ListMultipartUploadsCommand, type MultipartUpload } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
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
    // This server says of every upload that it was begun in 2010, so that opening the store removed it.
    expect(await uploads()).toEqual([]);
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
