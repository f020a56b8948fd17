import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { plain } from "../../src/cli/text.js";
import { checkJobName, checkRequest, checkWorkerId } from "../../src/job/request.js";
import { settingNames } from "../../src/job/settings.js";
import type { Random } from "../../src/plan/random.js";
import { readEnvironment, readTokenFile } from "../../src/process/environment.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { checkName } from "../../src/store/store.js";
import { label, storeName, token } from "../../src/wire/codec.js";
import { isAddress } from "../../src/wire/frame.js";
import { hold, Refusal, type Kind } from "./kind.js";
import { chance, mutate, number, pick, word } from "./mutate.js";

/** Names become subjects of NATS, files and words on terminals. */
export const nameKind: Kind = {
  name: "name",
  stages: [
    { name: "job name", refusal: /^(name|job) .*not a DNS label|is not a DNS label$/s },
    { name: "worker id", refusal: /^worker is/s },
    { name: "store name", refusal: /is no name for the store|^store name/s },
    { name: "token", refusal: /^token/s },
    { name: "address", refusal: /^no address$/ },
  ],
  open: async () => {
    const folder = await mkdtemp(join(tmpdir(), "bitfleet-hostile-"));
    const store = await FolderStore.open(folder);
    return {
      feed: async (random) => {
        const name = spoiltName(random);
        const printed = plain(name);
        hold(
          !/[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/.test(printed),
          "a control character",
        );
        switch (random.below(5)) {
          case 0:
            isSubjectToken(checkJobName(name));
            return isSubjectToken(label(name, "job"));
          case 1:
            return isSubjectToken(checkWorkerId(name));
          case 2: {
            checkName(name);
            storeName(name, "store name");
            hold(store.path(name).startsWith(folder + sep), `${name} leads out of the store`);
            await store.delete(name);
            return undefined;
          }
          case 3:
            hold(!/[\s*>\0]/.test(token(name, "token")), `${name} is more than a token`);
            return undefined;
          default:
            if (!isAddress(name)) throw new Refusal("no address");
            return isSubjectToken(name);
        }
      },
      close: () => rm(folder, { recursive: true, force: true }),
    };
  },
};

/** It reaches no subject but its own, and no file but its own. */
function isSubjectToken(name: string): void {
  hold(/^[A-Za-z0-9-]{1,63}$/.test(name), `${JSON.stringify(name)} is more than one token`);
}

const names = [
  "digits",
  "a-b-7",
  "worker-1",
  "jobs/digits/checkpoint-00000010.json",
  "a".repeat(63),
];

function spoiltName(random: Random): string {
  if (chance(random, 0.2)) return pick(random, names);
  if (chance(random, 0.3)) return pick(random, names) + word(random);
  if (chance(random, 0.2)) return word(random) + pick(random, names);
  return mutate(random, Buffer.from(pick(random, names)), Buffer.from(word(random))).toString(
    pick(random, ["utf8", "latin1"]),
  );
}

export const requestKind: Kind = {
  name: "job-request",
  stages: [
    { name: "known settings", refusal: /^there is no setting/ },
    { name: "values", refusal: /, not (?!a DNS label)|is not given: --/ },
    { name: "names", refusal: /./s },
  ],
  open: async () => ({
    feed: (random) => {
      const raw: [string, unknown][] = [
        ["name", "digits"],
        ["model", "R50x1"],
        ["data", "/data"],
      ];
      for (let i = random.below(4); i > 0; i--) {
        const key = chance(random, 0.9) ? pick(random, settingNames) : word(random);
        raw.push([
          key,
          pick(random, [spoiltName(random), number(random), "12", "0.5", true, [0.1, 0.9]]),
        ]);
      }
      // As own properties, also `__proto__`.
      const request = checkRequest(Object.fromEntries(raw));
      isSubjectToken(request.name);
      for (const value of Object.values(request)) {
        if (typeof value === "string") hold(!/[\0-\x1f\x7f]/.test(value), "a control character");
        if (typeof value === "number") hold(Number.isFinite(value), `${value} was taken`);
      }
    },
  }),
};

const variables = {
  ...{ BITFLEET_HOST: "0.0.0.0", BITFLEET_PORT: "7450", BITFLEET_HTTP_PORT: "7451" },
  ...{ BITFLEET_HOME: "/h", BITFLEET_STORE: "/s", NATS_URL: "nats://token@host:4222" },
  ...{ BITFLEET_JOIN: "host:7450", BITFLEET_WORKER_ID: "w-1", BITFLEET_KEEP_STATE: "600" },
  ...{ BITFLEET_GRACE_SECONDS: "30", LOG_LEVEL: "info" },
};

export const environmentKind: Kind = {
  name: "environment",
  stages: [{ name: "variables", refusal: /^(BITFLEET_[A-Z_]+|NATS_[A-Z_]+|LOG_LEVEL)\b/ }],
  open: async () => ({
    feed: (random) => {
      const name = pick(random, Object.keys(variables));
      const given = pick(random, Object.values(variables));
      const value = chance(random, 0.2)
        ? pick(random, ["nats://%zz@h", "nats://%ff@h:1", "[::1]:7450", "tls://h", "//", "nats://"])
        : mutate(random, Buffer.from(given)).toString("latin1");
      readEnvironment({ ...variables, [name]: value });
    },
  }),
};

export const tokenKind: Kind = {
  name: "token-file",
  stages: [
    { name: "length", refusal: /is longer than \d+ bytes$/ },
    { name: "form", refusal: /must hold one line/ },
  ],
  open: async () => {
    const folder = mkdtempSync(join(tmpdir(), "bitfleet-hostile-"));
    const path = join(folder, "token");
    return {
      feed: (random) => {
        writeFileSync(path, mutate(random, Buffer.from("0123456789abcdef\n")), { mode: 0o600 });
        const { token: read } = readTokenFile(path);
        hold(/^[\x21-\x7e]{8,4096}$/.test(read), "a token that is no header's value");
      },
      close: async () => rmSync(folder, { recursive: true, force: true }),
    };
  },
};
