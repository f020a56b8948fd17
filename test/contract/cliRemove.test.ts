import { expect, test } from "vitest";
import { FailureError } from "../../src/job/problem.js";
import { NotFoundError } from "../../src/job/problem.js";
import type { JobToRemove } from "../../src/wire/training.js";
import { run } from "./cliRun.js";

const refusal =
  'job busy cannot be removed: it is training, and only a job that has ended is; "bitfleet cancel busy" first';

/** A coordinator that has jobs of one and of twelve files, and one that is training. */
function coordinator() {
  const asked: JobToRemove[] = [];
  const removeJob = async (job: JobToRemove): Promise<number> => {
    asked.push(job);
    if (job.name === "busy") throw new FailureError(refusal);
    const files = { small: 1, large: 12 }[job.name];
    if (files === undefined) throw new NotFoundError(`there is no job ${job.name}`);
    return files;
  };
  return { training: { removeJob }, asked };
}

test("remove tells each job and how many files went with it", async () => {
  const { training, asked } = coordinator();
  const { code, terminal } = await run(["remove", "small", "large"], { training });
  expect(code).toBe(0);
  expect(terminal.answer).toBe("removed small, 1 file\nremoved large, 12 files");
  expect(asked).toEqual([
    { name: "small", keepWeights: false },
    { name: "large", keepWeights: false },
  ]);
});

test("remove --keep-weights --json asks to keep them, and prints nothing but JSON", async () => {
  const { training, asked } = coordinator();
  const args = ["remove", "large", "small", "--keep-weights", "--json"];
  const { code, terminal } = await run(args, { training });
  expect(code).toBe(0);
  expect(JSON.parse(terminal.answer)).toEqual([
    { name: "large", files: 12 },
    { name: "small", files: 1 },
  ]);
  expect(asked.map(({ keepWeights }) => keepWeights)).toEqual([true, true]);
});

test("a job under way is refused with what to do first, and what was removed before is told", async () => {
  const { training, asked } = coordinator();
  const { code, terminal } = await run(["remove", "small", "busy", "large"], { training });
  expect(code).toBe(1);
  expect(terminal.answer).toBe("removed small, 1 file");
  expect(terminal.noted).toBe(refusal);
  expect(asked.map(({ name }) => name)).toEqual(["small", "busy"]);
});

test("an unknown job is named, and the JSON tells what was removed before", async () => {
  const { training } = coordinator();
  const { code, terminal } = await run(["remove", "small", "nobody", "--json"], { training });
  expect(code).toBe(2);
  expect(JSON.parse(terminal.answer)).toEqual([{ name: "small", files: 1 }]);
  expect(JSON.parse(terminal.noted)).toEqual({ error: "there is no job nobody", exitCode: 2 });
});
