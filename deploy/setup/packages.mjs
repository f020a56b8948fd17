// The npm packages, exactly as package-lock.json lists them, with install scripts off.

import { join } from "node:path";
import { mustRun, SetupError } from "./command.mjs";
import { missingPackages } from "./decisions.mjs";
import { readText } from "./toolchain.mjs";

/** Whatever the machine's npm settings (omit, production) and NODE_ENV leave out elsewhere. */
const everyKind = ["prod", "dev", "optional", "peer"].map((kind) => `--include=${kind}`);

export function packagesStep({ root, lock, machine, say }) {
  // npm writes this file last; who ran `npm install` by hand is ready as well, if it gave the same.
  const list = join(root, "node_modules", ".package-lock.json");
  const missing = () => missingPackages(lock, JSON.parse(readText(list) ?? "{}"), machine);
  return {
    tools: () => ["npm"],
    ready: () => missing().length === 0,
    install: async () => {
      say("installing the npm packages (npm ci, install scripts off)");
      const args = ["ci", "--ignore-scripts", ...everyKind, "--no-audit", "--no-fund"];
      await mustRun("npm ci", "npm", args, { cwd: root });
      const [first, ...others] = missing();
      if (first === undefined) return;
      const more = others.length === 0 ? "" : ` and ${others.length} more`;
      throw new SetupError(
        `npm ci ended well, but left out ${first}${more}: look at npm's settings (npm config list).`,
      );
    },
  };
}
