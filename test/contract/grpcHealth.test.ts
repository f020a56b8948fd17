import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { service } from "grpc-health-check";
import { expect, test } from "vitest";
import { addressOf, serve } from "./grpcFixture.js";

test.each(["", "bitfleet.v1.Training"])(
  'the health service says that "%s" is served, to a client of the field',
  async (name) => {
    const server = await serve({});
    const Client = makeGenericClientConstructor(service, "Health");
    const client = new Client(addressOf(server), credentials.createInsecure());
    try {
      const answer = await new Promise((resolve, reject) => {
        const deadline = Date.now() + 10_000;
        client["check"]?.({ service: name }, { deadline }, (error: Error | null, value: unknown) =>
          error === null ? resolve(value) : reject(error),
        );
      });
      expect(answer).toEqual({ status: "SERVING" });
    } finally {
      client.close();
      await server.close("the test is over");
    }
  },
);
