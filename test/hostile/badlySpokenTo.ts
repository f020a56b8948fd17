import { Sessions } from "../../coordinator/sessions.js";
import { checkSettings } from "../../src/job/request.js";
import { sessionPath, trainingMethods } from "../../src/link/methods.js";
import type { RunningServer, TrainingHandlers } from "../../src/link/service.js";
import { workerEvent } from "../../src/wire/workerEvent.js";
import { jobStatus, serve, settings } from "../contract/grpcFixture.js";
import { framed, RawGrpc } from "../support/rawGrpc.js";
import { events } from "../unit/wireValues.js";
import { callersOf, token } from "./httpKind.js";
import { Finding, hold } from "./kind.js";

/** A gRPC server to be spoken to badly, while another client is answered; and what is said well before it is spoilt. */

export const bearer = `Bearer ${token}`;

export interface Bad {
  readonly server: RunningServer;
  /** Throws the Finding of an internal error, or where another client is not answered. */
  readonly check: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Handlers that hold what they are given to what the codecs promise. */
const training: Partial<TrainingHandlers> = {
  submit: async ({ settings: wanted }) =>
    jobStatus({ settings: checkSettings({ ...settings, ...wanted }) }),
  getJob: async (name) => jobStatus({ name }),
  listJobs: async () => [jobStatus()],
  cancelJob: async (name) => jobStatus({ name }),
  resumeJob: async (name) => jobStatus({ name }),
  removeJob: async ({ name }) => name.length,
  listWorkers: async () => [],
  drainWorker: async (id) => ({
    ...{ id, incarnation: "a1", host: "", device: "", state: "leaving", reason: "", job: "" },
    ...{ phase: "", numerics: "", imagesPerSecond: 0, residentBytes: 0, lastBeatAgeMs: 0 },
  }),
  scaleWorkers: async (workers) => workers,
  async *preview() {
    yield { picturesRead: 1, pictures: 1, preview: undefined };
  },
  async *watchJob(name) {
    yield jobStatus({ name });
  },
  async *readLogs({ afterSequence }) {
    yield { sequence: afterSequence, timeMs: 1, level: "info", message: "", fields: {} };
  },
  async *exportWeights() {
    yield { data: Buffer.alloc(3), totalBytes: 3 };
  },
  predict: async (parts) => {
    let bytes = 0;
    for await (const part of parts) bytes += part.data.length;
    hold(bytes < 2 ** 22, "more bytes than were sent");
    return [];
  },
};

export async function openServer(withTokens: boolean): Promise<Bad> {
  const internal: unknown[] = [];
  const sessions = new Sessions({ onEvent: () => undefined, onDisconnected: () => undefined });
  const server = await serve(training, {
    callers: withTokens ? callersOf("admin") : undefined,
    onSession: (session) => sessions.attach(session),
    onError: (error) => internal.push(error),
  });
  let other = new RawGrpc(server);
  const name = framed(trainingMethods.getJob.request.encode("digits"));
  const path = trainingMethods.getJob.path;
  return {
    server,
    check: async () => {
      const ask = () => other.answer(path, name, { headers: { authorization: bearer } });
      let { status, message } = await ask();
      if (status === undefined) {
        // Where the machine is so busy that a ping waits for 5 s, the server hangs up; a client connects again.
        other.close();
        other = new RawGrpc(server);
        ({ status, message } = await ask());
      }
      hold(status === 0, `another client got ${status ?? "no status"}: ${message}`);
      if (internal.length > 0) throw new Finding(`an internal error: ${String(internal[0])}`);
    },
    close: async () => {
      other.close();
      await server.close("the inputs are at an end");
    },
  };
}

export interface Sample {
  readonly path: string;
  readonly message: Uint8Array;
}

const methods = trainingMethods;
export const samples: readonly Sample[] = [
  sampleOf(methods.preview, { settings, requestId: "r-1" }),
  sampleOf(methods.submit, { settings, requestId: "r-1" }),
  sampleOf(methods.listJobs, undefined),
  ...[methods.getJob, methods.watchJob, methods.cancelJob, methods.resumeJob].map((method) =>
    sampleOf(method, "digits"),
  ),
  sampleOf(methods.removeJob, { name: "digits", keepWeights: true }),
  sampleOf(methods.exportWeights, "digits"),
  sampleOf(methods.readLogs, { name: "digits", afterSequence: 3, follow: false }),
  sampleOf(methods.listWorkers, undefined),
  sampleOf(methods.drainWorker, "worker-1"),
  sampleOf(methods.scaleWorkers, 3),
  sampleOf(methods.predict, { job: "digits", picture: "a.png", data: Buffer.from([1, 2]) }),
  ...events.map((event) => ({ path: sessionPath, message: workerEvent.encode(event) })),
];

function sampleOf<Request>(
  method: { readonly path: string; readonly request: { encode(value: Request): Uint8Array } },
  value: Request,
): Sample {
  return { path: method.path, message: method.request.encode(value) };
}
