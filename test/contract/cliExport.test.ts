import { mkdtemp, readFile, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FailureError } from "../../src/job/problem.js";
import type { TrainingHandlers } from "../../src/link/service.js";
import { folders, run } from "./cliRun.js";
import { jobStatus } from "./grpcFixture.js";

describe("export", () => {
  async function target(): Promise<{ readonly folder: string; readonly file: string }> {
    const folder = await mkdtemp(join(tmpdir(), "bitfleet-export-"));
    folders.push(folder);
    return { folder, file: join(folder, "w.npz") };
  }

  function sending(bytes: number, total: number): Partial<TrainingHandlers> {
    return {
      getJob: async () => jobStatus({ state: "done", parameterDigest: "ab12" }),
      async *exportWeights() {
        for (let sent = 0; sent < bytes; sent += 1000) {
          yield { data: new Uint8Array(Math.min(1000, bytes - sent)).fill(7), totalBytes: total };
        }
      },
    };
  }

  test("writes the file whole", async () => {
    const { file } = await target();
    const { code, terminal } = await run(["export", "digits", "--out", file], {
      training: sending(2_500, 2_500),
    });
    expect(code).toBe(0);
    expect(terminal.answer).toBe(`wrote ${file}, 2.5 kB, parameters ab12`);
    expect(await readFile(file)).toEqual(Buffer.alloc(2_500, 7));
  });

  test("leaves nothing behind when the stream ends early, and keeps what was there", async () => {
    const { folder, file } = await target();
    const { code, terminal } = await run(["export", "digits", "--out", file], {
      training: sending(1_500, 2_500),
    });
    expect(code).toBe(1);
    expect(terminal.noted).toBe(`only 1500 of 2500 bytes for ${file} came; nothing was written`);
    expect(await readdir(folder)).toEqual([]);
  });

  test("keeps a file that is there, unless --force says to replace it, and asks nobody before", async () => {
    const { folder, file } = await target();
    await writeFile(file, "mine");
    const unasked: Partial<TrainingHandlers> = {
      getJob: () => Promise.reject(new FailureError("asked")),
      exportWeights: () => {
        throw new FailureError("asked");
      },
    };
    for (const [out, sentence] of [
      [file, `${file} is there already; --force replaces it, or name another`],
      [folder, `--out is ${folder}, which is a folder: name a file in it, NAME.npz`],
      ["-", "--out is -, but weights go to a file only: name one that ends in .npz"],
      [
        join(folder, "w.safetensors"),
        `--out is ${join(folder, "w.safetensors")}, but must end in .npz, which is what is written`,
      ],
    ] as const) {
      const { code, terminal } = await run(["export", "digits", "--out", out], {
        training: unasked,
      });
      expect([code, terminal.noted]).toEqual([2, sentence]);
    }
    expect([await readdir(folder), await readFile(file, "utf8")]).toEqual([["w.npz"], "mine"]);
    const forced = await run(["export", "digits", "--out", file, "--force"], {
      training: sending(2_500, 2_500),
    });
    expect(forced.code).toBe(0);
    expect(await readFile(file)).toEqual(Buffer.alloc(2_500, 7));
  });

  test("keeps a file that has come while the weights were sent", async () => {
    const { folder, file } = await target();
    const { exportWeights } = sending(2_500, 2_500);
    const training: Partial<TrainingHandlers> = {
      ...sending(2_500, 2_500),
      async *exportWeights(name, signal) {
        await writeFile(file, "mine");
        yield* exportWeights?.(name, signal) ?? [];
      },
    };
    const { code, terminal } = await run(["export", "digits", "--out", file], { training });
    expect([code, terminal.noted]).toEqual([
      2,
      `${file} is there already; --force replaces it, or name another`,
    ]);
    expect([await readdir(folder), await readFile(file, "utf8")]).toEqual([["w.npz"], "mine"]);
  });

  test("ends as interrupted on Ctrl-C, and leaves nothing behind", async () => {
    const { folder, file } = await target();
    const stop = new AbortController();
    const training: Partial<TrainingHandlers> = {
      async *exportWeights(_, signal) {
        yield { data: new Uint8Array(10), totalBytes: 20 };
        stop.abort();
        await new Promise((done) => signal.addEventListener("abort", done));
      },
    };
    const args = ["export", "digits", "--out", file];
    const { code, terminal } = await run(args, { training, signal: stop.signal });
    expect([code, terminal.noted]).toEqual([1, "interrupted; nothing was written"]);
    expect(await readdir(folder)).toEqual([]);
  });

  test("names a file that cannot be written", async () => {
    const file = "/nowhere/w.npz";
    const { code, terminal } = await run(["export", "digits", "--out", file], {
      training: sending(10, 10),
    });
    expect(code).toBe(1);
    expect(terminal.noted).toBe("cannot write /nowhere/w.npz: there is no folder /nowhere");
  });
});
