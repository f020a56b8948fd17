// The S3 server that the tests store in: moto's, out of PyPI, with no more packages than its S3 part imports.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "./command.mjs";
import { pipEnvironment } from "./pip.mjs";
import { installFolder } from "./toolchain.mjs";
import { motoPackages } from "./versions.mjs";

/** The folder for Python's path. The few compiled parts are optional, so any Python 3.10 or newer will do. */
export function chooseS3Server({ toolchain }) {
  return join(toolchain, motoPackages[0].replace("==", "-"));
}

export function s3ServerStep({ s3Server, say }) {
  return {
    tools: () => ["python", "pip"],
    ready: () => existsSync(s3Server),
    install: async () => {
      say("downloading an S3 server for the tests with pip (30 MB, once for this machine)");
      await installFolder(s3Server, async (part) => {
        const args = [
          ...["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--no-cache-dir"],
          ...["--progress-bar=off", "--disable-pip-version-check", "--only-binary=:all:"],
          ...[`--target=${part}`, ...motoPackages],
        ];
        const options = { env: pipEnvironment() };
        await mustRun("Downloading the S3 server with pip", "python3", args, options);
      });
    },
  };
}
