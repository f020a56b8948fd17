import { chmodSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { packageRoot, readToolchain } from "../../../src/process/toolchain.js";

export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly writable: boolean;
}

/** What an image is to the stand-in: folders of this machine, the entry, and the variables it sets. */
export interface Image {
  readonly mounts: readonly Mount[];
  readonly entry: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** This build under the paths that deploy/image gives it: `bitfleet` and `nats-server` on the PATH, the rest in /opt/bitfleet. */
export function bitfleetImage(folder: string): Image {
  const root = packageRoot();
  const { natsServer, tensorflow } = readToolchain(root);
  const programs = join(folder, "programs");
  mkdirSync(programs, { recursive: true });
  symlinkSync(natsServer, join(programs, "nats-server"));
  const bitfleet = join(programs, "bitfleet");
  writeFileSync(bitfleet, '#!/bin/sh\nexec node /opt/bitfleet/dist/src/cli/main.js "$@"\n');
  chmodSync(bitfleet, 0o755);
  const readOnly = (source: string, target = source): Mount => ({
    source,
    target,
    writable: false,
  });
  // The record of the toolchain names places of this machine, so the image has them at the same ones.
  const toolchain = new Set([dirname(tensorflow), dirname(natsServer)]);
  return {
    mounts: [
      readOnly("/usr"),
      readOnly(programs, "/usr/local/bin"),
      ...["dist", "proto", "package.json", "node_modules"].map((name) =>
        readOnly(realpathSync(join(root, name)), `/opt/bitfleet/${name}`),
      ),
      ...[...toolchain].map((path) => readOnly(path)),
      ...["passwd", "group", "ld.so.cache"].map((name) => readOnly(`/etc/${name}`)),
    ],
    entry: ["bitfleet"],
    environment: { NODE_ENV: "production", BITFLEET_HOME: "/var/lib/bitfleet" },
  };
}

/** A machine's own programs, for pods of the stand-in's tests. */
export function plainImage(): Image {
  const mounts = [{ source: "/usr", target: "/usr", writable: false }];
  return { mounts, entry: [], environment: {} };
}
