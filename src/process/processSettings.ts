/**
 * The settings of the processes, each once: flags and help, the values that are read and refused, and docs/settings.md all come
 * from this table. A job's settings have a table of their own (job/settings.ts).
 */
import { pixelsMaxDefault } from "../data/pictureBounds.js";
import { logFormats, logLevels } from "./logLevels.js";
import { natsServerSettings, s3Settings } from "./serverSettings.js";
import type { ProcessSetting } from "./settingKinds.js";

export const defaultPort = 7450;
export const defaultHttpPort = 7451;
/** More replicas are a slip of the finger. */
export const replicasMax = 10_000;
export const graceSecondsMax = 86_400;

const hostName = {
  kind: "text",
  must: "a host name or an IP address",
  pattern: /^[0-9a-zA-Z.:%_-]{1,253}$/,
  default: "127.0.0.1",
} as const;
const file = { kind: "file", default: "" } as const;
const replicas = { kind: "whole", min: 0, max: replicasMax } as const;

export const processSettings = {
  BITFLEET_COORDINATOR: {
    kind: "text",
    must: "HOST:PORT",
    default: `127.0.0.1:${defaultPort}`,
    flag: "--coordinator <HOST:PORT>",
    about: { client: "where the coordinator listens" },
  },
  BITFLEET_JOIN: {
    kind: "text",
    must: "HOST:PORT",
    default: "",
    flag: "--join <HOST:PORT>",
    about: { worker: "the coordinator to join; needed" },
  },
  BITFLEET_HOST: {
    ...hostName,
    flag: "--host <HOST>",
    about: {
      coordinator: "where to listen; off loopback callers need a token, which `up` makes",
    },
  },
  BITFLEET_PORT: {
    kind: "port",
    default: defaultPort,
    flag: "--port <PORT>",
    about: { coordinator: "port for clients and workers" },
  },
  BITFLEET_HTTP_PORT: {
    kind: "port",
    default: defaultHttpPort,
    flag: "--http-port <PORT>",
    about: { coordinator: "port for health and status" },
  },
  BITFLEET_METRICS_OPEN: {
    kind: "choice",
    choices: ["on", "off"],
    default: "off",
    about: { coordinator: "whether /metrics asks for no token where callers have one" },
  },
  BITFLEET_WORKER_HTTP_PORT: {
    kind: "port",
    default: "",
    about: {
      worker:
        "port of its health and metrics, none unless set; of several that `up` starts the next ones take the next ports",
    },
  },
  BITFLEET_WORKER_HTTP_HOST: {
    ...hostName,
    about: { worker: "where its health and metrics listen" },
  },
  BITFLEET_WORKER_ID: {
    kind: "text",
    must: "1 to 63 lower-case letters, digits or hyphens inside",
    pattern: /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/,
    default: "the machine's name and a part of its own making",
    flag: "--id <NAME>",
    about: { worker: "name of this worker in the fleet" },
  },
  BITFLEET_HOME: {
    kind: "folder",
    default: "~/.bitfleet",
    flag: "--home <FOLDER>",
    flagless: ["client"],
    about: {
      coordinator: "state folder",
      worker: "state folder",
      client: "state folder of an `up` on this machine, for the token in it",
    },
  },
  BITFLEET_STORE: {
    kind: "store",
    default: "",
    flag: "--store <PLACE>",
    about: {
      coordinator:
        "folder shared with the workers, or s3://BUCKET/PREFIX; else store in the state folder",
      worker:
        "the fleet's store, where this machine sees its folder elsewhere, else what the coordinator says",
    },
  },
  ...s3Settings,
  BITFLEET_TOKEN_FILE: {
    ...file,
    flag: "--token-file <FILE>",
    about: {
      coordinator: "file with a token, which is an admin's",
      worker: "file with the token it shows",
      client: "file with the token it shows, by default that of an `up` on this machine",
    },
  },
  BITFLEET_TOKENS_FILE: {
    ...file,
    flag: "--tokens-file <FILE>",
    about: { coordinator: "hashed tokens with their roles" },
  },
  BITFLEET_TLS_CA_FILE: {
    ...file,
    flag: "--tls-ca <FILE>",
    about: {
      coordinator: "CA of the certificates that callers must have",
      worker: "CA that is trusted",
      client: "CA of the coordinator's certificate",
    },
  },
  BITFLEET_TLS_CERT_FILE: {
    ...file,
    flag: "--tls-cert <FILE>",
    about: {
      coordinator: "own certificate",
      worker: "own certificate",
      client: "own certificate, where the coordinator asks for one",
    },
  },
  BITFLEET_TLS_KEY_FILE: {
    ...file,
    flag: "--tls-key <FILE>",
    about: { coordinator: "its key", worker: "its key", client: "its key" },
  },
  BITFLEET_TLS_CLIENT_CERTS: {
    kind: "choice",
    choices: ["require", "off"],
    default: "require",
    about: { coordinator: "whether callers must have a certificate of the CA, where one is named" },
  },
  ...natsServerSettings,
  BITFLEET_LOG_BYTES: {
    kind: "whole",
    min: 2 ** 24,
    max: 2 ** 50,
    unit: "bytes",
    default: "1 GiB, less where NATS has less room",
    about: { coordinator: "what jobs' logs may take in NATS, which sets so much aside" },
  },
  BITFLEET_SCALE_STATEFULSET: {
    kind: "text",
    must: "the name of a Kubernetes object",
    default: "",
    about: {
      coordinator: "the workers' StatefulSet, where it scales by itself",
      client: "the same for `scale`, whose flag is --statefulset",
    },
  },
  BITFLEET_SCALE_MIN: {
    ...replicas,
    default: 0,
    about: { coordinator: "fewest workers; this or the next has it scale by itself" },
  },
  BITFLEET_SCALE_MAX: {
    ...replicas,
    default: 8,
    about: { coordinator: "most workers" },
  },
  BITFLEET_SERVICE_ACCOUNT: {
    kind: "folder",
    default: "where Kubernetes puts it",
    about: { coordinator: "folder of a pod's service account", client: "the same for `scale`" },
  },
  KUBECONFIG: {
    ...file,
    about: { coordinator: "how Kubernetes is reached from outside a pod", client: "the same" },
  },
  BITFLEET_KEEP_STATE: {
    kind: "whole",
    min: 1,
    max: 999_999,
    unit: "seconds",
    default: 600,
    flag: "--keep-state <SECONDS>",
    about: {
      worker: "without a coordinator a job's state is kept for so long, then the worker ends",
    },
  },
  BITFLEET_GRACE_SECONDS: {
    kind: "whole",
    min: 0,
    max: graceSecondsMax,
    unit: "seconds",
    default: 30,
    flag: "--grace <SECONDS>",
    about: { worker: "told to stop, it has so long to finish or hand over" },
  },
  BITFLEET_PICTURE_PIXELS: {
    kind: "whole",
    min: 1,
    max: 1_000_000_000,
    default: pixelsMaxDefault,
    about: {
      worker: "the most pixels that a picture may have",
      client: "the same for `data push`",
    },
  },
  BITFLEET_LINK_ROOTS: {
    kind: "text",
    must: "up to 64 folders by paths from /, separated by colons",
    default: "",
    about: { worker: "where links in a job's data may lead, besides into the data itself" },
  },
  BITFLEET_CACHE: {
    kind: "folder",
    default: "~/.cache/bitfleet/data, or in XDG_CACHE_HOME; none where the store is a folder",
    about: { worker: "cache of pushed pictures that the workers of a machine share" },
  },
  BITFLEET_CACHE_BYTES: {
    kind: "whole",
    min: 0,
    max: 2 ** 50,
    unit: "bytes",
    default: 10 * 2 ** 30,
    about: { worker: "how large that cache may become; 0 keeps nothing" },
  },
  CUDA_VISIBLE_DEVICES: {
    kind: "text",
    must: "as CUDA has it",
    default: "all",
    about: { coordinator: "of `up`: the GPUs that it deals to workers", worker: "its GPU" },
  },
  TF_NUM_INTRAOP_THREADS: {
    kind: "text",
    must: "a whole number",
    default: "what a job's --threads says",
    about: {
      worker: "threads of one TensorFlow operation, whatever a job says; part of the class",
    },
  },
  LOG_LEVEL: {
    kind: "choice",
    choices: logLevels,
    default: "info",
    about: {
      coordinator: "from which level on lines are logged",
      worker: "the same",
      client: "debug shows where in the code a failure came from",
    },
  },
  LOG_FORMAT: {
    kind: "choice",
    choices: logFormats,
    default: "auto",
    about: {
      coordinator: "how lines are logged; auto: text on a terminal, else JSON",
      worker: "the same",
    },
  },
  NO_COLOR: {
    kind: "text",
    must: "anything",
    default: "",
    about: { client: "set, its output has no colours" },
  },
  BITFLEET_FAILPOINTS: {
    kind: "text",
    must: "points with commas between them, as CONTRIBUTING.md lists them",
    default: "",
    about: { worker: "for tests: where it fails on purpose" },
  },
} as const satisfies Readonly<Record<string, ProcessSetting>>;

export type SettingVariable = keyof typeof processSettings;

// The cast: Object.keys forgets the key type, and the table is a constant.
export const settingVariables = Object.keys(processSettings) as readonly SettingVariable[];

/** The table's row, without what is particular to this setting. */
export function processSetting(variable: SettingVariable): ProcessSetting {
  return processSettings[variable];
}
