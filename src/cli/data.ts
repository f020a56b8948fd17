/** `bitfleet data push|list|remove`: pictures of this machine in the store, where workers find them. */
import type { Command } from "commander";
import type { PushProgress } from "../client/client.js";
import { leftOutText } from "../job/leftOut.js";
import { plural } from "../job/plural.js";
import { shell } from "../job/shell.js";
import { pixelsSetting } from "../process/pixelsSetting.js";
import type { DataSetStatus } from "../wire/training.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { orInterrupted, printJson, type Context } from "./context.js";
import { checkTilde } from "./fromHere.js";
import { bytes, duration, table } from "./text.js";

interface DataFlags extends ConnectionFlags {
  readonly json?: boolean;
}

export function addData(program: Command, context: Context): void {
  const data = program
    .command("data")
    .description("send folders of pictures to the fleet, list and remove them")
    .summary("send pictures to the fleet");
  addPush(data, context);
  addList(data, context);
  addRemove(data, context);
}

function addPush(data: Command, context: Context): void {
  const command = data
    .command("push")
    .description("send a folder of this machine, for --data store:NAME; only what is missing goes")
    .argument("<folder>", "folder with one folder of pictures per class")
    .argument("<name>", "name of the data set, a DNS label")
    .option("--json", "print JSON");
  withConnection(command).action((folder: string, name: string, flags: DataFlags) =>
    withClient(flags, context.variables, async (client) => {
      const { terminal, signal } = context;
      checkTilde(folder, "the folder");
      const pixelsMax = pixelsSetting(context.variables);
      const line = progressLines();
      const onProgress = (progress: PushProgress): void => {
        const text = line(progress, performance.now());
        if (text !== undefined) terminal.live(text);
      };
      const pushed = await orInterrupted(
        client.pushData(folder, name, { signal, onProgress, pixelsMax }),
        signal,
        "what was sent stays, and the same command goes on from there",
      );
      terminal.clearLive();
      if (flags.json === true) {
        printJson(context, pushed);
        return;
      }
      const { set, sentFiles, sentBytes, leftOut } = pushed;
      terminal.out(
        `pushed ${summary(set)}; sent ${bytes(sentBytes)} in ${plural(sentFiles, "file")}`,
      );
      const others = leftOutText(leftOut);
      if (others !== undefined) terminal.out(`left out ${others}`);
      terminal.note(shell`train on it: bitfleet submit --data store:${set.name} ...`);
    }),
  );
}

function addList(data: Command, context: Context): void {
  const command = data.command("list").description("list the data sets of the fleet");
  command.option("--json", "print JSON");
  withConnection(command).action(async (flags: DataFlags) => {
    const sets = await withClient(flags, context.variables, (client) => client.dataSets());
    if (flags.json === true) printJson(context, sets);
    else for (const line of dataLines(sets, context.terminal.columns)) context.terminal.out(line);
  });
}

function addRemove(data: Command, context: Context): void {
  const command = data
    .command("remove")
    .description("remove a data set that no job uses, and the pictures that no other has")
    .argument("<name>", "name of the data set")
    .option("--json", "print JSON");
  withConnection(command).action(async (name: string, flags: DataFlags) => {
    const blobs = await withClient(flags, context.variables, (client) => client.removeData(name));
    if (flags.json === true) printJson(context, { name, blobs });
    else context.terminal.out(`removed ${name}, ${plural(blobs, "file")}`);
  });
}

export function dataLines(sets: readonly DataSetStatus[], columns?: number): readonly string[] {
  if (sets.length === 0) return ["no data sets yet; bitfleet data push FOLDER NAME makes one"];
  return table(
    ["NAME", "CLASSES", "PICTURES", "SIZE"],
    sets.map((set) => [set.name, String(set.classes), String(set.pictures), bytes(set.bytes)]),
    { columns },
  );
}

function summary({ name, classes, pictures, bytes: size }: DataSetStatus): string {
  return `${name}: ${plural(pictures, "picture")} in ${plural(classes, "class")}, ${bytes(size)}`;
}

const showEveryMs = 100;

/** `sending: 12 of 340 files, 4.2 MB of 94.2 MB, 3.1 MB/s, 29 s left`; undefined where one was shown a moment ago. */
export function progressLines(): (progress: PushProgress, nowMs: number) => string | undefined {
  let beganMs: number | undefined;
  let shown = { stage: "", ms: 0 };
  return (progress, nowMs) => {
    const { stage } = progress;
    if (stage === "sending") beganMs ??= nowMs;
    if (shown.stage === stage && nowMs - shown.ms < showEveryMs) return undefined;
    shown = { stage, ms: nowMs };
    return progressLine(progress, (nowMs - (beganMs ?? nowMs)) / 1000);
  };
}

function progressLine(progress: PushProgress, seconds: number): string {
  const { stage, files, filesTotal, bytes: done, bytesTotal } = progress;
  if (stage === "reading") return `reading pictures: ${files} of ${filesTotal}, ${bytes(done)}`;
  if (stage === "asking") return `asking what is missing: ${files} of ${filesTotal}`;
  const sent = `sending: ${files} of ${plural(filesTotal, "file")}, ${bytes(done)} of ${bytes(bytesTotal)}`;
  if (seconds < 1) return sent;
  const left = duration(((bytesTotal - done) / Math.max(1, done)) * seconds);
  return `${sent}, ${bytes(Math.round(done / seconds))}/s, ${left} left`;
}
