import { createRequire } from "node:module";
import {
  credentials,
  makeClientConstructor,
  Metadata,
  type Client,
  type ClientDuplexStream,
  type ServiceClientConstructor,
} from "@grpc/grpc-js";
import {
  loadFileDescriptorSetFromBuffer,
  loadSync,
  type PackageDefinition,
} from "@grpc/proto-loader";
import { afterEach, describe, expect, test } from "vitest";
import { roles, type Callers } from "../../src/job/roles.js";
import { callBounds } from "../../src/link/callBounds.js";
import { trainingMethods } from "../../src/link/methods.js";
import type { RunningServer } from "../../src/link/service.js";
import { addressOf, jobStatus, serve } from "./grpcFixture.js";

/** The reflection service asked as the field's tools ask it: by its published contract, knowing nothing of ours. */

interface Answer {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
  readonly errorResponse?: { readonly errorCode: number; readonly errorMessage: string };
}

const { resolve: find } = createRequire(import.meta.resolve("@grpc/reflection"));
const contracts: Readonly<Record<string, PackageDefinition>> = Object.fromEntries(
  ["v1", "v1alpha"].map((version) => [
    version,
    loadSync(find(`../proto/grpc/reflection/${version}/reflection.proto`)),
  ]),
);

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const callers: Callers = {
  find: (token) => roles.map((role) => ({ name: role, role })).find(({ role }) => role === token),
  whyNotWorker: () => undefined,
  onChange: () => () => undefined,
};

async function serving(options: Parameters<typeof serve>[1] = {}): Promise<RunningServer> {
  const server = await serve({ getJob: async (name) => jobStatus({ name }) }, options);
  closers.push(() => server.close("over"));
  return server;
}

function clientOf(Constructor: ServiceClientConstructor, server: RunningServer): Client {
  const client = new Constructor(addressOf(server), credentials.createInsecure());
  closers.push(() => client.close());
  return client;
}

/** The answers to the requests; rejects with the status of the call. */
function ask(
  server: RunningServer,
  requests: readonly object[],
  { version = "v1", token = "" } = {},
): Promise<Answer[]> {
  const service = contracts[version]?.[`grpc.reflection.${version}.ServerReflection`];
  if (service === undefined || "format" in service) throw new Error("no reflection service");
  const metadata = new Metadata();
  if (token !== "") metadata.set("authorization", `Bearer ${token}`);
  const client = clientOf(makeClientConstructor(service, "ServerReflection"), server);
  const open: unknown = Reflect.get(client, "serverReflectionInfo");
  if (typeof open !== "function") throw new Error("no such method");
  const call = Reflect.apply(open, client, [metadata]) as ClientDuplexStream<object, Answer>;
  const answers: Answer[] = [];
  return new Promise((resolve, reject) => {
    call.on("data", (answer: Answer) => answers.push(answer));
    call.on("error", reject);
    call.on("end", () => resolve(answers));
    for (const request of requests) call.write(request);
    call.end();
  });
}

/** A FileDescriptorSet of these files. */
function setOf(files: readonly Buffer[]): Buffer {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [128 | (value & 127), ...varint(value >> 7)];
  return Buffer.concat(files.flatMap((file) => [Buffer.from([10, ...varint(file.length)]), file]));
}

describe.each(["v1", "v1alpha"])("reflection %s", (version) => {
  test("lists the services", async () => {
    const [answer] = await ask(await serving(), [{ listServices: "*" }], { version });
    expect(answer?.listServicesResponse?.service.map(({ name }) => name).sort()).toEqual([
      "bitfleet.v1.Fleet",
      "bitfleet.v1.Training",
      "grpc.health.v1.Health",
    ]);
  });

  test("tells enough of a service to call it", async () => {
    const server = await serving();
    const symbol = { fileContainingSymbol: "bitfleet.v1.Training" };
    const [answer] = await ask(server, [symbol], { version });
    const files = answer?.fileDescriptorResponse?.fileDescriptorProto ?? [];
    const described = loadFileDescriptorSetFromBuffer(setOf(files));
    const service = described["bitfleet.v1.Training"];
    if (service === undefined || "format" in service) throw new Error("no such service");
    const paths = Object.values(service).map(({ path }) => path);
    expect(paths.sort()).toEqual(
      Object.values(trainingMethods)
        .map(({ path }) => path)
        .sort(),
    );

    const client = clientOf(makeClientConstructor(service, "Training"), server);
    const answered = await new Promise((resolve, reject) => {
      const getJob: unknown = Reflect.get(client, "getJob");
      if (typeof getJob !== "function") throw new Error("no method GetJob");
      const done = (error: Error | null, value: unknown): void =>
        error === null ? resolve(value) : reject(error);
      Reflect.apply(getJob, client, [{ name: "roses" }, done]);
    });
    expect(answered).toMatchObject({ name: "roses", steps: 60, secondsLeft: 57 });
  });

  test("says what it does not know, and goes on", async () => {
    const requests = [
      { fileContainingSymbol: "bitfleet.v1.Nobody" },
      { fileByFilename: "../../package.json" },
      { listServices: "" },
    ];
    const answers = await ask(await serving(), requests, { version });
    expect(answers.map(({ errorResponse }) => errorResponse?.errorCode)).toEqual([5, 5, undefined]);
  });
});

test.each([
  ["", 16],
  ["nobody's", 16],
  ["worker", 7],
])("a token that is '%s' is refused", async (token, code) => {
  const server = await serving({ callers });
  await expect(ask(server, [{ listServices: "" }], { token })).rejects.toMatchObject({ code });
});

test.each(["viewer", "submitter", "admin"])("a %s may ask", async (token) => {
  const server = await serving({ callers });
  expect(await ask(server, [{ listServices: "" }], { token })).toHaveLength(1);
});

test("who asks without end in one call is ended", async () => {
  const server = await serving({
    callBounds: { ...callBounds, messages: { ServerReflectionInfo: 20 } },
  });
  const request = { fileContainingSymbol: "bitfleet.v1.Training" };
  const twenty = Array.from({ length: 20 }, () => request);
  expect(await ask(server, twenty)).toHaveLength(20);
  await expect(ask(server, [...twenty, ...twenty])).rejects.toMatchObject({ code: 8 });
  expect(await ask(server, [request])).toHaveLength(1);
});
