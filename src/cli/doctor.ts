/** `bitfleet doctor`: what this machine has, what it lacks, and the command that gets it. */
import { plural } from "../job/plural.js";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Command } from "commander";
import { reasonOf } from "../job/problem.js";
import { cpuProblem } from "../process/cpu.js";
import { packageRoot, readToolchain, type Toolchain } from "../process/toolchain.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { findGpus } from "./gpus.js";

export interface Check {
  readonly name: string;
  /** `absent`: missing, and nobody needs it to be there. */
  readonly state: "ok" | "missing" | "absent";
  readonly about: string;
}

const deadlineMs = 10_000;

export function addDoctor(program: Command, context: Context): void {
  const command = program
    .command("doctor")
    .description("check what this machine has and lacks to run a coordinator and workers")
    .option("--json", "print JSON");
  withConnection(command).action(async (flags: ConnectionFlags & { readonly json?: boolean }) => {
    const checks = [...(await checkMachine(context)), await checkCoordinator(flags, context)];
    if (flags.json === true) printJson(context, checks);
    else for (const line of checkLines(checks, context)) context.terminal.out(line);
    if (checks.some(({ state }) => state === "missing")) context.setExitCode(1);
  });
}

export function checkLines(
  checks: readonly Check[],
  { terminal }: Pick<Context, "terminal">,
): readonly string[] {
  const colors = { ok: "green", missing: "red", absent: "dim" } as const;
  return checks.map(({ name, state, about }) => {
    return `${terminal.paint(colors[state], state.padEnd(7))}  ${name.padEnd(11)}  ${about}`;
  });
}

async function checkMachine({ variables }: Context): Promise<readonly Check[]> {
  const checks: Check[] = [checkNode(process.versions.node), checkCpu(cpuProblem())];
  const toolchain = tried(() => readToolchain());
  if (toolchain instanceof Error) checks.push(missing("toolchain", toolchain.message));
  else checks.push(...(await checkToolchain(toolchain, variables["NATS_URL"])));
  checks.push(await checkSharp());
  if (!(toolchain instanceof Error)) checks.push(...(await arithmetic(toolchain, variables)));
  const gpus = await findGpus(variables);
  const names = gpus.map(({ name }) => name).join(", ");
  if (gpus.length === 0) checks.push({ name: "GPU", state: "absent", about: "none; CPUs do" });
  else if (toolchain instanceof Error || toolchain.gpu) checks.push(ok("GPU", names));
  else {
    const about = `${names}, but TensorFlow is set up for CPUs; run: npm run setup -- --gpu`;
    checks.push({ name: "GPU", state: "absent", about });
  }
  return checks;
}

function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const fits = major > 20 || (major === 20 && minor >= 15);
  return fits ? ok("Node", version) : missing("Node", `${version}, at least 20.15 is needed`);
}

export function checkCpu(problem: string | undefined): Check {
  return problem === undefined ? ok("CPU", process.arch) : missing("CPU", problem);
}

async function checkToolchain(
  { tensorflow, tfVersion, natsServer, gpu }: Toolchain,
  natsUrl: string | undefined,
): Promise<readonly Check[]> {
  const binding = join("@tensorflow", "tfjs-node-gpu", "lib", "napi-v8", "tfjs_binding.node");
  const addon = join(packageRoot(), "node_modules", binding);
  const setup = "run: npm run setup";
  return [
    existsSync(tensorflow)
      ? ok("TensorFlow", `${tfVersion} for ${gpu ? "GPUs" : "CPUs"}, ${tensorflow}`)
      : missing("TensorFlow", `${tensorflow} is gone; ${setup}`),
    existsSync(addon) ? ok("addon", addon) : missing("addon", `${addon} is not built; ${setup}`),
    natsUrl === undefined || natsUrl === ""
      ? await checkNats(natsServer, setup)
      : ok("NATS", "NATS_URL names a server"),
  ];
}

async function checkNats(program: string, setup: string): Promise<Check> {
  try {
    const { stdout } = await promisify(execFile)(program, ["--version"], { timeout: deadlineMs });
    return ok("NATS", stdout.trim());
  } catch {
    return missing("NATS", `${program} does not run; ${setup}, or set NATS_URL`);
  }
}

async function checkSharp(): Promise<Check> {
  try {
    const { default: sharp } = await import("sharp");
    return ok("sharp", `${sharp.versions["sharp"]}, libvips ${sharp.versions.vips}`);
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
    return missing("sharp", `${reason}; run: npm run setup`);
  }
}

/** The numerics class of this machine's workers; none where sharp, a part of the class, is missing. */
async function arithmetic(
  { tfVersion, gpu }: Toolchain,
  variables: Context["variables"],
): Promise<readonly Check[]> {
  try {
    const { numerics } = await import("../process/numerics.js");
    return [ok("arithmetic", numerics(variables, { tensorflow: tfVersion, gpu }).text)];
  } catch {
    return [];
  }
}

async function checkCoordinator(flags: ConnectionFlags, context: Context): Promise<Check> {
  try {
    return await withClient(flags, context.variables, async (client) => {
      const workers = await client.workers();
      return ok("coordinator", `answers, with ${plural(workers.length, "worker")}`);
    });
  } catch (error) {
    const about = reasonOf(error);
    return { name: "coordinator", state: "absent", about };
  }
}

function tried<T>(read: () => T): T | Error {
  try {
    return read();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function ok(name: string, about: string): Check {
  return { name, state: "ok", about };
}

function missing(name: string, about: string): Check {
  return { name, state: "missing", about };
}
