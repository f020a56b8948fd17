// The npm packages, exactly as package-lock.json lists them, with install scripts off.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "./command.mjs";
import { packagesMatch } from "./decisions.mjs";
import { readText, writeWhole } from "./toolchain.mjs";

export function packagesStep({ root, lock, machine, say }) {
  const modules = join(root, "node_modules");
  const stamp = join(modules, ".bitfleet", "packages.sha256");
  const lockDigest = () =>
    createHash("sha256")
      .update(readFileSync(join(root, "package-lock.json")))
      .digest("hex");
  return {
    tools: () => ["npm"],
    ready: () => {
      if (readText(stamp) === lockDigest()) return true;
      // Someone ran `npm install` by hand: good as well, if it gave the same.
      const installed = readText(join(modules, ".package-lock.json"));
      if (installed === undefined || !packagesMatch(lock, JSON.parse(installed), machine))
        return false;
      writeWhole(stamp, lockDigest());
      return true;
    },
    install: async () => {
      say("installing the npm packages (npm ci, install scripts off)");
      const args = ["ci", "--ignore-scripts", "--include=dev", "--no-audit", "--no-fund"];
      await mustRun("npm ci", "npm", args, { cwd: root });
      writeWhole(stamp, lockDigest());
    },
  };
}
