/** Rows of the table of settings about the servers that others run: S3 and NATS. */
import type { ProcessSetting } from "./settingKinds.js";

const natsUser = {
  kind: "text",
  must: "1 to 64 letters, digits or any of _.@-",
  pattern: /^[A-Za-z0-9_.@-]{1,64}$/,
  default: "",
} as const;
const file = { kind: "file", default: "" } as const;
const credential = { kind: "text", must: "a text", default: "" } as const;

export const s3Settings = {
  BITFLEET_S3_ENDPOINT: {
    kind: "text",
    must: "http://HOST:PORT or https://HOST, with a path behind it where the server has one",
    default: "Amazon's",
    about: {
      coordinator: "server of a store in S3",
      worker: "the same, where this machine reaches it by another name",
    },
  },
  BITFLEET_S3_REGION: {
    kind: "text",
    must: "1 to 40 letters, digits, _ and -",
    default: "us-east-1",
    about: { coordinator: "region of a store in S3", worker: "the same" },
  },
  BITFLEET_S3_CREDENTIALS_FILE: {
    ...file,
    about: {
      coordinator:
        "credentials for S3 of this machine: lines with aws_access_key_id = ... and aws_secret_access_key = ..., and aws_session_token = ... where there is one",
      worker: "the same",
    },
  },
  AWS_ACCESS_KEY_ID: {
    ...credential,
    about: {
      coordinator:
        "credentials for S3 without a file; with neither the client looks for a role of the pod or the machine",
      worker: "the same",
    },
  },
  AWS_SECRET_ACCESS_KEY: {
    ...credential,
    about: { coordinator: "belongs to the above", worker: "the same" },
  },
  AWS_SESSION_TOKEN: {
    ...credential,
    about: { coordinator: "belongs to the above, where there is one", worker: "the same" },
  },
} as const satisfies Readonly<Record<string, ProcessSetting>>;

export const natsServerSettings = {
  NATS_URL: {
    kind: "text",
    must: "nats://HOST:PORT, nats://TOKEN@HOST:PORT or tls://HOST:PORT, or up to 16 with commas",
    default: "",
    flag: "--nats <URL>",
    about: {
      coordinator:
        "NATS with JetStream, several servers of one cluster by commas; else one is started here",
    },
  },
  BITFLEET_NATS_PORT: {
    kind: "port",
    default: "that of the last time, or any free one",
    flag: "--nats-port <PORT>",
    about: { coordinator: "port of the NATS server that is started here" },
  },
  BITFLEET_NATS_SERVER: {
    kind: "file",
    default: "that of the set-up, else the first in PATH",
    about: { coordinator: "the nats-server program" },
  },
  NATS_USER: { ...natsUser, about: { coordinator: "its user at the server of NATS_URL" } },
  NATS_PASSWORD_FILE: { ...file, about: { coordinator: "that user's password" } },
  NATS_WORKER_USER: {
    ...natsUser,
    about: { coordinator: "the user that it tells the workers, else its own" },
  },
  NATS_WORKER_PASSWORD_FILE: { ...file, about: { coordinator: "that user's password" } },
  NATS_CA_FILE: {
    ...file,
    about: {
      coordinator: "CA of NATS, with TLS, where it is not that of gRPC",
      worker: "the same",
    },
  },
  NATS_CERT_FILE: {
    ...file,
    about: { coordinator: "own certificate for NATS", worker: "the same" },
  },
  NATS_KEY_FILE: { ...file, about: { coordinator: "its key", worker: "the same" } },
} as const satisfies Readonly<Record<string, ProcessSetting>>;
