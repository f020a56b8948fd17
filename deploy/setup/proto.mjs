// Turns the files of proto/ into a static ES module with types, proto/gen/bitfleet.js and .d.ts.
// Run by itself (`npm run proto`) or by the set-up; does nothing when neither end has changed.

import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { mustRun } from "./command.mjs";
import { digestOf, filesBelow } from "./sources.mjs";
import { partOf, readText, writeWhole } from "./toolchain.mjs";

const flags = [
  ...["-p", "proto"],
  ...["-t", "static-module", "-w", "esm", "-d"],
  ...[
    "--no-create",
    "--no-convert",
    "--no-verify",
    "--no-delimited",
    "--no-typeurl",
    "--no-service",
  ],
];

export async function generateProto(root, say) {
  const folder = join(root, "proto", "gen");
  const stamp = join(folder, ".sources.sha256");
  const sources = filesBelow(join(root, "proto"), (name) => name.endsWith(".proto")).map(
    (path) => `proto/${path}`,
  );
  const digest = digestOf(root, ["package-lock.json", ...sources]);
  const products = ["bitfleet.js", "bitfleet.d.ts"];
  const whole = products.every((name) => existsSync(join(folder, name)));
  if (whole && readText(stamp) === digest) return;

  say(`generating code for ${sources.length} files of proto/ (pbjs)`);
  const part = partOf(folder);
  // pbjs does not make the folders that it writes to.
  for (const path of [part, folder]) mkdirSync(path, { recursive: true });
  try {
    const pbjs = join(root, "node_modules", "protobufjs-cli", "bin", "pbjs");
    const output = join(part, "bitfleet.js");
    await mustRun("pbjs", process.execPath, [pbjs, ...flags, "-o", output, ...sources], {
      cwd: root,
    });
    for (const name of products) renameSync(join(part, name), join(folder, name));
    writeWhole(stamp, digest);
  } finally {
    rmSync(part, { recursive: true, force: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const root = fileURLToPath(new URL("../..", import.meta.url));
  await generateProto(root, (line) => process.stdout.write(`${line}\n`));
}
