/** The field's reflection service, v1 and v1alpha: a tool like grpcurl asks it what there is to call. */
import { join } from "node:path";
import type { Server } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { protoPath as healthProto } from "grpc-health-check";
import { packageRoot } from "../process/toolchain.js";

const files = ["bitfleet/v1/training.proto", "bitfleet/v1/worker.proto", healthProto];

/** Made once: to read the files takes a fifth of a second. */
let reflection: ReflectionService | undefined;

/** Describes the services of proto/ and the health service; the role is asked for by the header check of every call. */
export function addReflection(server: Server): void {
  reflection ??= new ReflectionService(
    loadSync(files, { includeDirs: [join(packageRoot(), "proto")] }),
  );
  reflection.addToServer(server);
}
