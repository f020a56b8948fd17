/** How coordinator and workers get to a NATS server that is already there. */
import type { NatsAccess, NatsUser } from "../src/control/message.js";
import { ConfigError } from "../src/job/problem.js";
import type { NatsTarget } from "../src/link/natsConnection.js";
import type { TlsFiles } from "../src/process/certificates.js";
import { readTokenFile } from "../src/process/environment.js";
import type { NatsSettings, NatsUserSetting } from "../src/process/natsSettings.js";

export interface ReachedNats {
  /** For this process. */
  readonly target: NatsTarget;
  /** As workers are told. */
  readonly workerAccess: NatsAccess;
}

/** ConfigError: a file with a password cannot be read. */
export function namedNats(
  { url, token, user, workerUser }: NatsSettings,
  tls: TlsFiles | undefined,
  warn: (sentence: string) => void,
): ReachedNats {
  const login = user === undefined ? () => ({ user: "", secret: token }) : loginOf(user, warn);
  const worker = workerUser === undefined ? login() : userOf(workerUser, warn, "NATS_WORKER");
  if (user !== undefined && workerUser === undefined)
    warn(
      `workers connect to NATS as the coordinator's user "${user.user}"; NATS_WORKER_USER names one with fewer rights`,
    );
  return {
    target: { url, login, tls: tls && { files: tls } },
    workerAccess: { url, ...worker },
  };
}

/** The password is read for every connection, so that a new one needs no restart; while it cannot be read the last one stays. */
function loginOf(setting: NatsUserSetting, warn: (sentence: string) => void): () => NatsUser {
  let last = userOf(setting, warn, "NATS");
  let isTold = false;
  return () => {
    try {
      last = userOf(setting, () => undefined, "NATS");
      isTold = false;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      // Every attempt to connect comes here.
      if (!isTold) warn(`${error.message}; the password read before stays`);
      isTold = true;
    }
    return last;
  };
}

function userOf(
  { user, passwordFile }: NatsUserSetting,
  warn: (sentence: string) => void,
  prefix: string,
): NatsUser {
  const { token, warning } = readTokenFile(passwordFile, `${prefix}_PASSWORD_FILE`);
  if (warning !== undefined) warn(warning);
  return { user, secret: token };
}
