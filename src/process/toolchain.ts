import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { FailureError } from "../job/problem.js";

/** What the set-up has put on this machine. */
export interface Toolchain {
  /** Folder that holds lib/libtensorflow*.so and include/. */
  readonly tensorflow: string;
  /** The nats-server program. */
  readonly natsServer: string;
  readonly gpu: boolean;
  readonly tfVersion: string;
}

/** The nearest folder upwards of this file that holds Bitfleet's package.json: the same for sources and for dist/. */
export function packageRoot(from: string = import.meta.dirname): string {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "package.json"))) return folder;
    if (dirname(folder) === folder)
      throw new FailureError(
        `no package.json in ${from} or above it: this is not an installed Bitfleet`,
      );
  }
}

/** Where the set-up writes down what it has put on this machine. */
export function toolchainFile(root: string = packageRoot()): string {
  return join(root, "node_modules", ".bitfleet", "toolchain.json");
}

/** Throws a FailureError that names the command to run where the set-up has not been run. */
export function readToolchain(root: string = packageRoot()): Toolchain {
  const path = toolchainFile(root);
  const refusal = (why: string): FailureError =>
    new FailureError(`${path} ${why}; \`npm run demo\` and \`npm test\` make it`);
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw refusal(error instanceof SyntaxError ? "is not JSON" : "cannot be read");
  }
  if (!isToolchain(value)) throw refusal("lacks tensorflow, natsServer, gpu or tfVersion");
  const { tensorflow, natsServer, gpu, tfVersion } = value;
  return { tensorflow, natsServer, gpu, tfVersion };
}

function isToolchain(value: unknown): value is Toolchain {
  return (
    typeof value === "object" &&
    value !== null &&
    "tensorflow" in value &&
    typeof value.tensorflow === "string" &&
    "natsServer" in value &&
    typeof value.natsServer === "string" &&
    "gpu" in value &&
    typeof value.gpu === "boolean" &&
    "tfVersion" in value &&
    typeof value.tfVersion === "string"
  );
}
