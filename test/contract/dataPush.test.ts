import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { DataSets, type DataSetsOptions } from "../../coordinator/dataSets.js";
import { connect, type BitfleetClient } from "../../src/client/client.js";
import { progressLines } from "../../src/cli/data.js";
import { runProgram } from "../../src/cli/program.js";
import { hashOf } from "../../src/data/blobs.js";
import { buildIndex } from "../../src/data/buildIndex.js";
import type { DataIndex } from "../../src/data/dataIndex.js";
import { encodePages } from "../../src/data/dataPages.js";
import { openStored } from "../../src/data/openStored.js";
import { ConfigError, FailureError, NotFoundError } from "../../src/job/problem.js";
import { Channel } from "../../src/link/channel.js";
import { trainingMethods } from "../../src/link/methods.js";
import type { TrainingHandlers } from "../../src/link/service.js";
import { FolderStore } from "../../src/store/folderStore.js";
import type { BlobPart } from "../../src/wire/training.js";
import { writePictures } from "../support/pictures.js";
import { FakeTerminal } from "../unit/fakeTerminal.js";
import { addressOf, serve } from "./grpcFixture.js";

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Fleet {
  readonly folder: string;
  readonly pictures: string;
  readonly store: FolderStore;
  readonly sets: DataSets;
  readonly client: BitfleetClient;
  readonly address: string;
}

/** A coordinator's calls about data on a real server, and ten pictures in two classes. */
async function fleet(
  options: Partial<DataSetsOptions> = {},
  pushed: (parts: AsyncIterable<BlobPart>) => AsyncIterable<BlobPart> = (parts) => parts,
): Promise<Fleet> {
  const folder = await mkdtemp(join(tmpdir(), "bitfleet-push-"));
  const pictures = join(folder, "pictures");
  await writePictures(pictures, { classes: 2, perClass: 5 });
  await writeFile(join(pictures, "class-0", "note.txt"), "no picture");
  const store = await FolderStore.open(join(folder, "store"));
  const usersOf = (): readonly string[] => [];
  const sets = new DataSets({ store, isHolder: async () => true, usersOf, ...options });
  const handlers: Partial<TrainingHandlers> = {
    missingBlobs: (hashes) => sets.missing(hashes),
    pushData: (parts) => sets.push(pushed(parts)),
    commitData: (commit) => sets.commit(commit),
    listData: () => sets.list(),
    removeData: (name) => sets.remove(name),
  };
  const server = await serve(handlers);
  const address = addressOf(server);
  const client = connect({ address });
  closers.push(
    () => rm(folder, { recursive: true, force: true }),
    () => server.close("over"),
    () => client.close(),
  );
  return { folder, pictures, store, sets, client, address };
}

function channelTo({ address }: Fleet): Channel {
  const channel = new Channel(address, "");
  closers.push(() => channel.close());
  return channel;
}

async function* stream(...parts: readonly BlobPart[]): AsyncGenerator<BlobPart> {
  yield* parts;
}

const send = (channel: Channel, parts: AsyncIterable<BlobPart>): Promise<number> =>
  channel.clientStream(trainingMethods.pushData, parts, 10_000);

function indexOf(data: string, { store }: Fleet): Promise<DataIndex> {
  const request = { data, validationFraction: 0.25, seed: 3 };
  const stored = openStored(store, "/a/folder", {});
  return buildIndex(request, () => undefined, new AbortController().signal, stored);
}

test("a pushed folder has the index of the folder, is listed, sent once, and removed whole", async () => {
  const own = await fleet();
  const { client, pictures, store } = own;
  const pushed = await client.pushData(pictures, "digits");
  const set = { name: "digits", classes: 2, pictures: 10, ignoredFiles: 1 };
  expect(pushed).toMatchObject({ set, sentFiles: 11 });
  expect(await client.dataSets()).toEqual([pushed.set]);

  const { digest, trainingRoot, validationRoot, leftOut, ...local } = await indexOf(pictures, own);
  const remote = await indexOf("store:digits", own);
  expect(remote).toMatchObject(local);
  expect(pushed.leftOut).toEqual(leftOut);
  expect(remote.leftOut).toEqual([{ kind: "other files", files: 1 }]);
  expect([trainingRoot, validationRoot]).toEqual([pictures, pictures]);
  expect([remote.trainingRoot, remote.validationRoot]).toEqual(["store:digits", "store:digits"]);
  expect(remote.digest).not.toBe(digest);

  expect(await client.pushData(pictures, "digits")).toMatchObject({ set, sentFiles: 0 });
  expect(await client.pushData(pictures, "copy")).toMatchObject({ sentFiles: 0, sentBytes: 0 });
  expect(await client.removeData("digits")).toBe(0);
  expect(await indexOf("store:copy", own)).toMatchObject(local);
  expect(await client.removeData("copy")).toBe(11);
  expect(await store.list("data/")).toEqual([]);
  await expect(client.removeData("copy")).rejects.toBeInstanceOf(NotFoundError);
  await expect(indexOf("store:copy", own)).rejects.toThrow("there is no data set copy");
});

test("an interrupted push goes on with what is missing", async () => {
  const stop = new AbortController();
  let left: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (left = resolve));
  const { client, pictures, store } = await fleet({}, async function* (parts) {
    let heads = 0;
    try {
      for await (const part of parts) {
        if ((heads += 1) === 5) stop.abort(new Error("Ctrl-C"));
        yield part;
      }
    } finally {
      left();
    }
  });
  await expect(client.pushData(pictures, "digits", { signal: stop.signal })).rejects.toThrow();
  await ended;
  await expect.poll(async () => (await store.list("data/blobs/")).length).toBeGreaterThanOrEqual(4);
  expect(await client.dataSets()).toEqual([]);
  const { sentFiles } = await client.pushData(pictures, "digits");
  expect(sentFiles).toBeGreaterThan(0);
  expect(sentFiles).toBeLessThanOrEqual(7);
});

test("a blob with a wrong hash, or another size than it said, is refused and seen by nobody", async () => {
  const own = await fleet();
  const channel = channelTo(own);
  const data = Buffer.from("some bytes");
  const sha256 = hashOf(data);
  const wrong = hashOf(Buffer.from("other bytes"));
  const bytes = data.length;
  const rest = { sha256: "", bytes: 0, data };
  for (const [parts, why] of [
    [[{ sha256: wrong, bytes, data }], `blob ${wrong} has the SHA-256 ${sha256}`],
    [[{ sha256, bytes: 9, data }], "more than the 9 bytes"],
    [[{ sha256, bytes, data }, rest], "more than the 10 bytes"],
    [[{ sha256, bytes: 11, data }], "has 10 bytes, and 11 were said"],
    [[{ sha256, bytes: 0, data }], "has 0 bytes, not from 1 to 67108864"],
    [[{ sha256, bytes: 67_108_865, data }], "has 67108865 bytes, not from 1"],
    [[rest], "before its hash"],
  ] as const) {
    const sending = send(channel, stream(...parts));
    await expect(sending).rejects.toBeInstanceOf(ConfigError);
    await expect(sending).rejects.toThrow(why);
  }
  expect(await own.store.list("")).toEqual([]);
  const folders = await readdir(join(own.folder, "store"), { recursive: true });
  expect(folders.filter((name) => name.includes(".put-"))).toEqual([]);

  // Those before a bad one stay, and one that is there already is passed over.
  const good = { sha256, bytes, data };
  const then = { sha256: wrong, bytes, data };
  await expect(send(channel, stream(good, good, then))).rejects.toThrow("has the SHA-256");
  expect(await own.store.list("")).toEqual([`data/blobs/${sha256.slice(0, 2)}/${sha256}`]);
  expect(
    await send(
      channel,
      stream(
        good,
        { ...good, data: data.subarray(0, 4) },
        {
          ...rest,
          data: data.subarray(4),
        },
      ),
    ),
  ).toBe(2);
});

test("a client that falls silent in the middle of a blob is not waited for", async () => {
  const own = await fleet({ silentMs: 100 });
  const data = Buffer.from("some bytes");
  const silent = async function* (): AsyncGenerator<BlobPart> {
    yield { sha256: hashOf(data), bytes: 10, data: data.subarray(0, 5) };
    await new Promise(() => undefined);
  };
  const sending = send(channelTo(own), silent());
  await expect(sending).rejects.toThrow("nothing was sent for 0.1 s");
  expect(await own.store.list("")).toEqual([]);
});

test("pictures that cannot be used are named, and the others need not be sent again", async () => {
  const { client, pictures } = await fleet();
  const text = join(pictures, "class-1", "text.png");
  await writeFile(text, "this is no picture");
  const pushing = client.pushData(pictures, "digits");
  await expect(pushing).rejects.toBeInstanceOf(ConfigError);
  await expect(pushing).rejects.toThrow(`the picture ${text} cannot be read: it is not a JPEG`);
  expect(await client.dataSets()).toEqual([]);
  await rm(text);
  // The page of the list that names the picture was sent, too; the one without it was not.
  expect((await client.pushData(pictures, "digits")).sentFiles).toBe(1);
});

test("a folder that workers would refuse, or a name that no data set may hold, is refused before anything is sent", async () => {
  const { client, folder, pictures, store } = await fleet();
  for (const [at, name, why] of [
    [join(folder, "none"), "digits", "none does not exist"],
    [join(pictures, "class-0"), "digits", "no class folders"],
    [pictures, "Digits", 'name is "Digits", not a DNS label'],
    [pictures, "../digits", "not a DNS label"],
  ] as const) {
    await expect(client.pushData(at, name)).rejects.toBeInstanceOf(ConfigError);
    await expect(client.pushData(at, name)).rejects.toThrow(why);
  }
  await writeFile(join(pictures, "class-0", "a\\..\\b.png"), "x");
  await expect(client.pushData(pictures, "digits")).rejects.toThrow("backslash or a control");
  expect(await store.list("")).toEqual([]);
});

test("only pages that list what is there make a data set, and other pictures no second one of its name", async () => {
  const own = await fleet();
  const { client, pictures, sets } = own;
  const channel = channelTo(own);
  const [data, other] = [Buffer.from("some bytes"), Buffer.from("other bytes")];
  const listed = (file: string, of: Buffer) => ({ file, sha256: hashOf(of), bytes: of.length });
  const commit = async (...pages: readonly Uint8Array[]): Promise<unknown> => {
    for (const page of pages) {
      const blob = { sha256: hashOf(page), bytes: page.length, data: page };
      await send(channel, stream(blob));
    }
    return sets.commit({ name: "digits", pages: pages.map(hashOf), ignoredFiles: 0 });
  };
  const [first = data] = encodePages([listed("a/1.png", data)]);
  const [second = data] = encodePages([listed("b/1.png", other)]);
  const unknown = { name: "digits", pages: [hashOf(first)], ignoredFiles: 0 };
  expect(await sets.commit(unknown)).toEqual({ missing: 1, set: undefined });
  expect(await commit(first, second)).toEqual({ missing: 2, set: undefined });
  await send(channel, stream({ sha256: hashOf(data), bytes: data.length, data }));
  expect(await commit(first, second)).toEqual({ missing: 1, set: undefined });
  await expect(commit(second, first)).rejects.toThrow("out of order");
  await expect(commit(Buffer.from("[]"))).rejects.toThrow("page of a data set");
  await expect(commit()).rejects.toThrow("no pictures");
  expect(await sets.list()).toEqual([]);

  expect(await commit(first)).toMatchObject({ missing: 0, set: { classes: 1, pictures: 1 } });
  expect(await commit(first)).toMatchObject({ missing: 0 });
  await expect(client.pushData(pictures, "digits")).rejects.toThrow(
    'name digits is in use by a data set of other pictures: choose another name, or "bitfleet data remove digits" first',
  );
});

test("a data set stays while a job uses it or is being submitted, and while another coordinator rules", async () => {
  let users: readonly string[] = ["flowers-1"];
  let holds = true;
  const own = await fleet({ usersOf: () => users, isHolder: async () => holds });
  const { client, pictures, sets } = own;
  await client.pushData(pictures, "digits");
  await expect(client.removeData("digits")).rejects.toThrow(
    "data set digits cannot be removed: job flowers-1 uses it, and has not ended",
  );
  users = [];
  const release = await sets.use(["store:digits", "/a/folder", undefined]);
  await expect(client.removeData("digits")).rejects.toThrow("is being submitted");
  release();
  await expect(sets.use(["store:none"])).rejects.toThrow('"bitfleet data push FOLDER none"');
  holds = false;
  for (const asked of [client.removeData("digits"), client.pushData(pictures, "more")]) {
    await expect(asked).rejects.toBeInstanceOf(FailureError);
    await expect(asked).rejects.toThrow("another coordinator has taken over");
  }
  holds = true;
  const removing = sets.remove("digits");
  await expect(sets.use(["store:digits"])).rejects.toThrow("is being removed");
  await removing;
  expect(await client.dataSets()).toEqual([]);
});

test("a removal takes what no data set names, and a push that lost blobs to it sends them again", async () => {
  const own = await fleet();
  const { client, pictures, store } = own;
  await client.pushData(pictures, "digits");
  const stray = Buffer.from("of a push that was never committed");
  const blob = { sha256: hashOf(stray), bytes: stray.length, data: stray };
  await send(channelTo(own), stream(blob));
  let removed: Promise<number> | undefined;
  // All is there when it asks; when it commits, nothing is.
  const { sentFiles } = await client.pushData(pictures, "copy", {
    onProgress: ({ stage }) => {
      if (stage === "asking") removed ??= own.sets.remove("digits");
    },
  });
  expect(await removed).toBe(12);
  expect(sentFiles).toBe(11);
  expect(await store.list("data/blobs/")).toHaveLength(11);
});

test("what is sent is told with its rate and what is left, ten times a second at most", () => {
  const line = progressLines();
  const at = (bytes: number, nowMs: number): string | undefined =>
    line({ stage: "sending", files: 12, filesTotal: 340, bytes, bytesTotal: 94_200_000 }, nowMs);
  expect(at(0, 500)).toBe("sending: 12 of 340 files, 0 B of 94.2 MB");
  expect(at(9, 599)).toBeUndefined();
  expect(at(6_200_000, 2_500)).toBe(
    "sending: 12 of 340 files, 6.2 MB of 94.2 MB, 3.1 MB/s, 28 s left",
  );
});

test("the command line pushes, lists and removes", async () => {
  const own = await fleet();
  const run = async (...args: readonly string[]): Promise<FakeTerminal> => {
    const terminal = new FakeTerminal(true);
    const variables = { BITFLEET_COORDINATOR: own.address, BITFLEET_HOME: "/nowhere" };
    const signal = new AbortController().signal;
    expect(await runProgram(["data", ...args], { terminal, variables, signal })).toBe(0);
    return terminal;
  };
  expect((await run("list")).answer).toBe(
    "no data sets yet; bitfleet data push FOLDER NAME makes one",
  );
  const pushed = await run("push", own.pictures, "digits");
  expect(pushed.answer).toMatch(
    /^pushed digits: 10 pictures in 2 classes, 1\d\.\d kB; sent 1\d\.\d kB in 11 files\nleft out 1 file: 1 \.txt$/,
  );
  const shown = pushed.lives.join("\n");
  expect(shown).toMatch(/^reading pictures: 1 of 10, /);
  expect(shown).toMatch(/\nsending: \d+ of 11 files, [\d.]+ k?B of 1\d\.\d kB/);
  expect((await run("list")).answers[1]).toMatch(/^digits +2 +10 +1\d\.\d kB$/);
  expect(JSON.parse((await run("list", "--json")).answer)).toMatchObject([{ name: "digits" }]);
  const again = await run("push", own.pictures, "digits", "--json");
  expect(JSON.parse(again.answer)).toMatchObject({ sentFiles: 0, set: { pictures: 10 } });
  expect((await run("remove", "digits")).answer).toBe("removed digits, 11 files");
});
