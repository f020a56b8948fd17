import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { runProgram } from "../../src/cli/program.js";
import { readTokenFile } from "../../src/process/environment.js";
import type { Variables } from "../../src/process/variables.js";
import { TokenBook } from "../../src/process/tokenBook.js";
import { tokenDigest, writeTokens } from "../../src/process/tokensFile.js";
import { failureOf } from "../support/failureOf.js";
import { FakeTerminal } from "./fakeTerminal.js";
import { temporaryFolder } from "./temporaryFolder.js";

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await temporaryFolder();
  file = join(folder, "tokens.json");
});

async function token(
  args: readonly string[],
  variables: Variables = { BITFLEET_TOKENS_FILE: file },
): Promise<FakeTerminal> {
  const terminal = new FakeTerminal();
  const { signal } = new AbortController();
  expect(await runProgram(["token", ...args], { terminal, variables, signal })).toBe(0);
  return terminal;
}

/** Who a coordinator takes the bearer for. */
function callerOf(plain: string): unknown {
  const warn = (sentence: string): never => expect.fail(sentence);
  const book = TokenBook.open({ tokenFile: undefined, tokensFile: file, warn });
  book.close();
  return book.find(plain);
}

test("add prints a token once, which the coordinator knows by its role, until it is revoked", async () => {
  const { answers, noted } = await token(["add", "anna", "--role", "viewer"]);
  const [plain = ""] = answers;
  expect(answers).toHaveLength(1);
  expect(plain).toMatch(/^[\w-]{43}$/);
  expect(noted).not.toContain(plain);
  expect(callerOf(plain)).toEqual({ name: "anna", role: "viewer" });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readFile(file, "utf8")).not.toContain(plain);
  const [other = ""] = (await token(["add", "ben", "--role", "admin"])).answers;
  await token(["revoke", "anna"]);
  expect(callerOf(plain)).toBeUndefined();
  expect(callerOf(other)).toEqual({ name: "ben", role: "admin" });
  expect(await readdir(folder)).toEqual(["tokens.json"]);
});

test("a worker's token may be for some ids alone", async () => {
  const args = ["add", "gpus", "--role", "worker", "--workers", "gpu-*", "lone"];
  const [plain = ""] = (await token(args)).answers;
  await token(["add", "others", "--role", "worker"]);
  expect(callerOf(plain)).toEqual({ name: "gpus", role: "worker", workers: ["gpu-*", "lone"] });
  expect((await token(["list"])).answers).toEqual([
    "NAME    ROLE",
    "gpus    worker (gpu-*, lone)",
    "others  worker",
  ]);
  const book = TokenBook.open({
    ...{ tokenFile: undefined, tokensFile: file, warn: () => undefined },
  });
  book.close();
  for (const id of ["gpu-1", "gpu-", "lone"]) {
    expect(book.whyNotWorker("gpus", id), id).toBeUndefined();
    expect(book.whyNotWorker("others", id)).toBe(
      `the worker id ${id} is for the token "gpus", not for "others"`,
    );
  }
  for (const id of ["lone-2", "gpu", "cpu-1"]) {
    expect(book.whyNotWorker("others", id), id).toBeUndefined();
    expect(book.whyNotWorker("gpus", id)).toBe(
      `the token "gpus" is for workers gpu-*, lone, not for ${id}`,
    );
  }
});

test.each([
  [
    ["--role", "viewer", "--workers", "a"],
    "--workers is for the role worker, and --role is viewer",
  ],
  [["--role", "worker", "--workers", "a b"], '--workers is "a b", but must be a worker id'],
  [["--role", "worker", "--workers", "a*b"], '--workers is "a*b", but must be a worker id'],
])("add %j is refused", async (args, sentence) => {
  expect(await failureOf(token(["add", "x", ...args]))).toContain(sentence);
});

test("list shows names and roles, and no hash", async () => {
  await token(["add", "anna", "--role", "viewer"]);
  await token(["add", "ben", "--role", "worker"]);
  expect((await token(["list"])).answers).toEqual(["NAME  ROLE", "anna  viewer", "ben   worker"]);
  expect(JSON.parse((await token(["list", "--json"])).answer)).toEqual([
    { name: "anna", role: "viewer" },
    { name: "ben", role: "worker" },
  ]);
});

describe("--out", () => {
  test("gets the token instead, for its owner alone", async () => {
    const out = join(folder, "anna");
    const { answers } = await token(["add", "anna", "--role", "viewer", "--out", out]);
    expect(answers).toEqual([]);
    const { token: plain, warning } = readTokenFile(out);
    expect([callerOf(plain), warning]).toEqual([{ name: "anna", role: "viewer" }, undefined]);
  });

  test("is not written over, and not left behind", async () => {
    const out = join(folder, "anna");
    await writeFile(out, "mine");
    const add = token(["add", "anna", "--role", "viewer", "--out", out]);
    expect(await failureOf(add)).toMatch(`cannot write the token to ${out}: EEXIST`);
    expect(await readdir(folder)).toEqual(["anna"]);
    await token(["add", "anna", "--role", "viewer"]);
    const again = token(["add", "anna", "--role", "viewer", "--out", `${out}-2`]);
    expect(await failureOf(again)).toMatch("already");
    expect((await readdir(folder)).toSorted()).toEqual(["anna", "tokens.json"]);
  });
});

test("ten at once all find their place", async () => {
  const names = Array.from({ length: 10 }, (_, i) => `worker-${i}`);
  await Promise.all(names.map((name) => token(["add", name, "--role", "worker"])));
  const known = JSON.parse((await token(["list", "--json"])).answer) as { readonly name: string }[];
  expect(known.map(({ name }) => name).toSorted()).toEqual(names);
});

test("a link to the file stays one", async () => {
  await mkdir(join(folder, "etc"));
  await writeFile(join(folder, "etc", "real.json"), '{"tokens": []}');
  await symlink("etc/real.json", file);
  const [plain = ""] = (await token(["add", "anna", "--role", "viewer"])).answers;
  expect(callerOf(plain)).toBeDefined();
  expect(await readFile(join(folder, "etc", "real.json"), "utf8")).toContain("anna");
});

test.each<readonly [readonly string[], string]>([
  [
    ["add", "Anna", "--role", "viewer"],
    'the name is "Anna", but must be 1 to 63 lower-case letters',
  ],
  [
    ["add", "ben", "--role", "root"],
    '--role is "root", but must be one of viewer, submitter, worker, admin',
  ],
  [["add", "anna", "--role", "admin"], '"anna" has a token in '],
  [["revoke", "ben"], '"ben" has no token in '],
  [["revoke", "Ben"], 'the name is "Ben"'],
])("%j is refused and changes nothing", async (args, sentence) => {
  await token(["add", "anna", "--role", "viewer"]);
  const before = await readFile(file, "utf8");
  expect(await failureOf(token(args))).toContain(sentence);
  expect(await readFile(file, "utf8")).toBe(before);
  expect(await readdir(folder)).toEqual(["tokens.json"]);
});

test("a file that is not named, not there, not of tokens or full is told of", async () => {
  expect(await failureOf(token(["list"], {}))).toBe(
    "--tokens or BITFLEET_TOKENS_FILE must name the file of hashed tokens",
  );
  expect(await failureOf(token(["list"]))).toMatch(`cannot read ${file}: ENOENT`);
  const nowhere = ["add", "anna", "--role", "viewer", "--tokens", "/no/where.json"];
  expect(await failureOf(token(nowhere))).toMatch("cannot write /no/where.json.lock: ENOENT");
  await writeFile(file, "{}");
  expect(await failureOf(token(["revoke", "anna"]))).toBe(`${file}: "tokens" must be a list`);
  const digest = tokenDigest("x");
  const many = Array.from({ length: 1000 }, (_, i) => ({
    name: `n${i}`,
    role: "worker" as const,
    digest,
  }));
  await writeFile(file, writeTokens(many));
  expect(await failureOf(token(["add", "anna", "--role", "viewer"]))).toBe(
    `${file}: has 1001 tokens, but at most 1000 are read`,
  );
});
