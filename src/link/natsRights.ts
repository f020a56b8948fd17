/**
 * What each role may do at NATS, and nothing else. A worker exchanges frames: it has no right at JetStream and no inbox, so it can
 * neither read nor write records, nor hear what others are answered. The coordinator keeps records and logs, and purges those of
 * jobs that are removed: it has no right to delete a stream, nor to take part in the exchange.
 */
import type { NatsUser } from "../control/message.js";
import { jobsStream, lockStream, logsName } from "./jetstreamStreams.js";

export interface NatsRights {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export interface NatsUsers {
  readonly coordinator: NatsUser;
  readonly worker: NatsUser;
}

/** Where a worker hears frames; addresses are one token each. */
export const framesOf = (address: string): string => `bitfleet.x.${address}`;

const streams = [jobsStream.name, lockStream.name, logsName];
const verbs = ["STREAM.INFO", "STREAM.CREATE", "STREAM.UPDATE", "STREAM.MSG.GET"];

export const natsRights: Readonly<Record<keyof NatsUsers, NatsRights>> = {
  coordinator: {
    publish: [
      "$JS.API.INFO",
      ...verbs.flatMap((verb) => streams.map((stream) => `$JS.API.${verb}.${stream}`)),
      ...[jobsStream.name, logsName].map((stream) => `$JS.API.STREAM.PURGE.${stream}`),
      `$JS.API.DIRECT.GET.${logsName}`,
      ...["$KV.bitfleet_jobs.*", "$KV.bitfleet_lock.*", "bitfleet.logs.*"],
    ],
    subscribe: ["_INBOX.>"],
  },
  worker: { publish: [framesOf("*")], subscribe: [framesOf("*")] },
};

/** That part of a nats-server's configuration. The secrets are written as they come: in quotes, or as $VARIABLE. */
export function authorization(users: NatsUsers): string {
  const entries = [
    entry(users.coordinator, natsRights.coordinator),
    entry(users.worker, natsRights.worker),
  ];
  return `authorization {\n  users: [\n${entries.join("")}  ]\n}\n`;
}

function entry({ user, secret }: NatsUser, { publish, subscribe }: NatsRights): string {
  const list = (subjects: readonly string[]): string =>
    `[\n${subjects.map((subject) => `          ${JSON.stringify(subject)}\n`).join("")}        ]`;
  return `    {
      user: ${JSON.stringify(user)}
      password: ${secret}
      permissions {
        publish: ${list(publish)}
        subscribe: ${list(subscribe)}
      }
    }
`;
}
