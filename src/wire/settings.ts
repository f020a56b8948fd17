/** JobSettings in proto/ has the fields of the table in src/job/settings.ts, which checks them as well. */
import type { bitfleet } from "#proto";
import { ConfigError, WireError } from "../job/problem.js";
import { checkRequest, checkSettings } from "../job/request.js";
import { settingNames, type JobRequest, type JobSettings } from "../job/settings.js";

type Properties = bitfleet.v1.JobSettings.$Properties;

/** The value has to be checked already: protobuf would wrap a number that is none of its kind. */
export function toSettings(settings: JobRequest | JobSettings): Properties {
  const { drops, ...rest } = settings;
  return { ...rest, drops: drops === undefined ? [] : [...drops] };
}

/** What a user asks for: a refusal is a ConfigError with the sentence that names the setting. */
export function fromRequest(message: Properties): JobRequest {
  return checkRequest(given(message));
}

/** What a peer has decided: a refusal is a WireError. */
export function fromSettings(message: Properties): JobSettings {
  return fromPeer(() => checkSettings(given(message)));
}

/** What a peer passes on of a user's request: a refusal is a WireError. */
export function fromPassedRequest(message: Properties): JobRequest {
  return fromPeer(() => checkRequest(given(message)));
}

function fromPeer<T>(check: () => T): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new WireError(`settings: ${error.message}`, { cause: error });
  }
}

function given(message: Properties): Readonly<Record<string, unknown>> {
  return Object.fromEntries(settingNames.map((name) => [name, message[name]]));
}
