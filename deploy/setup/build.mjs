// Compiles what is older than its source: proto/ to proto/gen/, then TypeScript to dist/.

import { chmodSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "./command.mjs";
import { orphans } from "./decisions.mjs";
import { generateProto } from "./proto.mjs";
import { digestOf, filesBelow } from "./sources.mjs";
import { readText, writeWhole } from "./toolchain.mjs";

const folders = ["src", "coordinator", "worker", "test"];
const inputs = ["package-lock.json", "package.json", "tsconfig.json"];

export function buildStep({ root, say, stdio }) {
  const stamp = join(root, "dist", ".sources.sha256");
  const sources = () => [
    ...inputs,
    ...["proto", ...folders].flatMap((folder) =>
      filesBelow(join(root, folder), (name) => /\.(ts|proto)$/.test(name))
        .map((path) => `${folder}/${path}`)
        .filter((path) => !path.startsWith("proto/gen/")),
    ),
  ];
  return {
    tools: () => [],
    ready: () => readText(stamp) === digestOf(root, sources()),
    install: async () => {
      await generateProto(root, say);
      const found = sources();
      const digest = digestOf(root, found);
      say("compiling TypeScript (tsc)");
      const compiled = filesBelow(join(root, "dist"), (name) => /\.js(\.map)?$/.test(name));
      for (const path of orphans(compiled, found)) rmSync(join(root, "dist", path));
      const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
      const cache = ["--incremental", "--tsBuildInfoFile", "dist/.tsbuildinfo"];
      await mustRun("tsc", process.execPath, [tsc, "-p", ".", ...cache], { cwd: root, stdio });
      const { bin } = JSON.parse(readText(join(root, "package.json")));
      for (const path of Object.values(bin)) {
        // A command has to be executable, and tsc does not make it so.
        if (existsSync(join(root, path))) chmodSync(join(root, path), 0o755);
      }
      writeWhole(stamp, digest);
    },
  };
}
