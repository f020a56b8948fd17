/** The coordinator's gRPC server: clients and workers on one port. */
import { logVerbosity, Server, setLogVerbosity } from "@grpc/grpc-js";
import { HealthImplementation } from "grpc-health-check";
import { ConfigError, FailureError } from "../job/problem.js";
import { hostPort, isLoopback } from "../process/address.js";
import { ConnectionPlaces } from "../process/connectionPlaces.js";
import { messageBytesMax } from "../wire/codec.js";
import { Admissions } from "./admission.js";
import { boundedCalls, type HeaderCheck } from "./callBounds.js";
import { connectionBounds, listenBounded } from "./connectionBounds.js";
import { clientStream, serverStream, unary, type CallHost } from "./grpcCalls.js";
import { serveSession } from "./grpcSession.js";
import { asBytes, callOf, sessionPath, trainingMethods, type Method } from "./methods.js";
import { addReflection } from "./reflection.js";
import { serverCredentials } from "./serverTls.js";
import type { RunningServer, ServerOptions, TrainingHandlers } from "./service.js";

/** How long calls under way may take at the end before they are cut off. */
const shutdownMs = 3_000;

const serviceName = "bitfleet.v1.Training";

const channelOptions = {
  "grpc.keepalive_time_ms": 10_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.max_receive_message_length": messageBytesMax,
  "grpc.max_send_message_length": messageBytesMax,
  "grpc.enable_channelz": 0,
  // Of one connection: its calls, and the MB of what it was sent and has not read.
  "grpc.max_concurrent_streams": 256,
  "grpc-node.max_session_memory": 64,
};

/**
 * Serves clients and workers on one port.
 * ConfigError: a bind address off loopback without a token. FailureError: the port is in use or cannot be bound.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { host, callers } = options;
  if (callers === undefined && !isLoopback(host)) {
    throw new ConfigError(
      `listening on ${host} needs a token: give a token file, or stay on 127.0.0.1`,
    );
  }
  // Errors reach us as values; grpc-js would print them as well.
  setLogVerbosity(logVerbosity.NONE);

  const leave = new AbortController();
  const admissions = new Admissions(callers);
  const callHost: CallHost = {
    admit: (metadata, call) => admissions.admit(metadata, call),
    signal: leave.signal,
    onError: options.onError ?? (() => undefined),
  };
  const check: HeaderCheck = (metadata, name) => admissions.look(metadata, callOf(name));
  const limits = options.connectionBounds ?? connectionBounds;
  const places = new ConnectionPlaces(limits);
  const bounds = boundedCalls(check, options.callBounds, (peer, hasToken) =>
    places.heard(peer, hasToken),
  );
  const server = new Server({ ...channelOptions, interceptors: [bounds] });
  // Of the field's health service, which asks for no token: a probe has none. It says that this server serves, so not before it does.
  const health = new HealthImplementation({ "": "SERVING", [serviceName]: "SERVING" });
  health.addToServer(server);
  addReflection(server);
  registerTraining(server, callHost, options.training);
  server.register<Buffer, Buffer>(
    sessionPath,
    (call: Parameters<typeof serveSession>[0]) => serveSession(call, callHost, options.onSession),
    asBytes,
    asBytes,
    "bidi",
  );
  const listener = await bind(server, options, { places, connections: limits.connections });
  return {
    host,
    port: listener.port,
    close: async (reason) => {
      health.setStatus("", "NOT_SERVING");
      health.setStatus(serviceName, "NOT_SERVING");
      listener.close();
      leave.abort(reason);
      await shutDown(server);
      admissions.close();
    },
  };
}

function registerTraining(server: Server, host: CallHost, handlers: TrainingHandlers): void {
  const one = <Request, Response>(
    method: Method<Request, Response>,
    handle: (request: Request) => Promise<Response>,
  ): boolean =>
    server.register(method.path, unary(host, method, handle), asBytes, asBytes, "unary");
  const many = <Request, Response>(
    method: Method<Request, Response>,
    handle: (request: Request, signal: AbortSignal) => AsyncIterable<Response>,
  ): boolean => {
    const handler = serverStream(host, method, handle);
    return server.register(method.path, handler, asBytes, asBytes, "serverStream");
  };

  const methods = trainingMethods;
  many(methods.preview, (request, signal) => handlers.preview(request, signal));
  one(methods.submit, (request) => handlers.submit(request));
  one(methods.listJobs, () => handlers.listJobs());
  one(methods.getJob, (name) => handlers.getJob(name));
  many(methods.watchJob, (name, signal) => handlers.watchJob(name, signal));
  many(methods.readLogs, (request, signal) => handlers.readLogs(request, signal));
  one(methods.cancelJob, (name) => handlers.cancelJob(name));
  one(methods.resumeJob, (name) => handlers.resumeJob(name));
  one(methods.removeJob, (job) => handlers.removeJob(job));
  one(methods.drainWorker, (id) => handlers.drainWorker(id));
  one(methods.scaleWorkers, (workers) => handlers.scaleWorkers(workers));
  one(methods.listWorkers, () => handlers.listWorkers());
  many(methods.exportWeights, (name, signal) => handlers.exportWeights(name, signal));
  one(methods.missingBlobs, (hashes) => handlers.missingBlobs(hashes));
  one(methods.commitData, (commit) => handlers.commitData(commit));
  one(methods.listData, () => handlers.listData());
  one(methods.removeData, (name) => handlers.removeData(name));
  const predict = clientStream(host, methods.predict, (parts, signal) =>
    handlers.predict(parts, signal),
  );
  server.register(methods.predict.path, predict, asBytes, asBytes, "clientStream");
  const push = clientStream(host, methods.pushData, (parts) => handlers.pushData(parts));
  server.register(methods.pushData.path, push, asBytes, asBytes, "clientStream");
}

/** A name for both loopback addresses would be bound in half if one is taken, unnoticed. */
async function bind(
  server: Server,
  { host, port, tls }: ServerOptions,
  room: Parameters<typeof listenBounded>[3],
): Promise<Awaited<ReturnType<typeof listenBounded>>> {
  const address = { host: host === "localhost" ? "127.0.0.1" : host, port };
  const credentials = serverCredentials(tls);
  try {
    return await listenBounded(server, credentials, address, room);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new FailureError(bindProblem(error, hostPort(address)), { cause: error });
  }
}

function bindProblem({ message }: Error, target: string): string {
  if (message.includes("EADDRINUSE")) {
    return `${target} is in use by another process; choose another port or stop that process`;
  }
  if (message.includes("EACCES")) return `not allowed to listen on ${target}`;
  if (message.includes("EADDRNOTAVAIL")) return `${target} is no address of this machine`;
  return `cannot listen on ${target}: ${message}`;
}

/** tryShutdown waits for every stream of every client, so it gets a deadline. */
function shutDown(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, shutdownMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
