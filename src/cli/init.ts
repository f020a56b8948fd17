/** `bitfleet init DIR`: a CA, certificates, tokens and settings for a small fleet. */
import { X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { ConfigError, FailureError, codeOf, reasonOf } from "../job/problem.js";
import { shell } from "../job/shell.js";
import { day } from "../process/certificates.js";
import { Authority } from "./authority.js";
import { printJson, type Context } from "./context.js";
import {
  caFiles,
  isHost,
  newCertificates,
  newFleet,
  tokensFile,
  type FleetFiles,
  type Servers,
} from "./fleetFolder.js";
import { checkTilde } from "./fromHere.js";
import { replaceFiles } from "./replaceFiles.js";

interface InitFlags {
  readonly host?: readonly string[];
  readonly nats?: string;
  readonly renew?: boolean;
  readonly json?: boolean;
}

export function addInit(program: Command, context: Context): void {
  program
    .command("init")
    .description("make certificates, tokens and settings for a fleet that is locked down")
    .argument("<folder>", "where to write them; it must be empty, or not be there yet")
    .option("--host <NAME...>", "names and addresses under which others reach the coordinator")
    .option(
      "--nats <NAME>",
      "settings for a NATS server there, else the coordinator starts its own",
    )
    .option("--renew", "new certificates of the CA in the folder; tokens and settings stay")
    .option("--json", "print JSON")
    .action(async (folder: string, { host = [], nats, renew, json }: InitFlags) => {
      checkTilde(folder, "the folder");
      for (const name of host) checkHost("--host", name);
      if (nats !== undefined) checkHost("--nats", nats);
      if (renew === true && nats !== undefined)
        throw new ConfigError("--nats cannot be given with --renew, which keeps the settings");
      const lines = renew === true ? await renewed(folder, host) : await made(folder, host, nats);
      if (json === true) printJson(context, { folder: resolve(folder), renewed: renew === true });
      else for (const line of lines) context.terminal.out(line);
    });
}

function checkHost(flag: string, name: string): void {
  if (!isHost(name))
    throw new ConfigError(`${flag} is "${name}", but must be a host name or an IP address`);
}

async function made(
  folder: string,
  hosts: readonly string[],
  nats: string | undefined,
): Promise<readonly string[]> {
  const target = resolve(folder);
  await refuseTaken(folder, target);
  const servers: Servers = new Map([
    ["coordinator", hosts] as const,
    ...(nats === undefined ? [] : [["nats", [nats]] as const]),
  ]);
  const files = await newFleet(servers, Date.now());
  let beside: string | undefined;
  try {
    // Of this user alone, as mkdtemp makes it.
    beside = await mkdtemp(`${target}.new-`);
    await replaceFiles(under(beside, files));
    // Refused where somebody has put something there meanwhile.
    await rename(beside, target);
  } catch (error) {
    if (beside !== undefined) await rm(beside, { recursive: true, force: true });
    throw unwritable(folder, error);
  }
  return nextLines(folder, servers);
}

/** The certificates are read again by processes that run, so nothing has to be started again. */
async function renewed(folder: string, given: readonly string[]): Promise<readonly string[]> {
  const authority = await loadAuthority(folder);
  const nowMs = Date.now();
  if (+authority.notAfter <= nowMs)
    throw new ConfigError(
      `the CA in ${folder} expired on ${day(+authority.notAfter)}; make another fleet with \`bitfleet init\``,
    );
  const nats = await namesIn(join(folder, "nats/cert.pem"));
  const hosts = given.length > 0 ? given : await namesIn(join(folder, "coordinator/cert.pem"));
  if (hosts === undefined)
    throw new ConfigError(`${folder}/coordinator/cert.pem is not there, so --host must tell names`);
  const servers: Servers = new Map([
    ["coordinator", hosts] as const,
    ...(nats === undefined ? [] : [["nats", nats] as const]),
  ]);
  const files = await newCertificates(authority, servers, nowMs);
  await replaceFiles(under(folder, files)).catch((error: unknown) => {
    throw unwritable(folder, error);
  });
  const lines = [
    `new certificates are in ${folder}; copy each cert.pem and key.pem over the old ones`,
    "what runs takes them up without a restart",
  ];
  return nats === undefined
    ? lines
    : [...lines, "NATS does once it is told to: nats-server --signal reload"];
}

async function refuseTaken(folder: string, target: string): Promise<void> {
  if (target === process.cwd())
    throw new ConfigError(
      `${folder} is the folder that you are in; name one that is not there yet`,
    );
  const found = await readdir(target).catch((error: unknown) => {
    if (codeOf(error) === "ENOENT") return [];
    if (codeOf(error) === "ENOTDIR") throw new ConfigError(`${folder} is a file, not a folder`);
    throw new FailureError(`cannot read ${folder}: ${reasonOf(error)}`);
  });
  if (found.length > 0)
    throw new ConfigError(
      `${folder} is not empty; name another folder, or renew its certificates with --renew`,
    );
}

async function loadAuthority(folder: string): Promise<Authority> {
  try {
    const [certificate, key] = await Promise.all([
      readFile(join(folder, caFiles.certificate), "utf8"),
      readFile(join(folder, caFiles.key), "utf8"),
    ]);
    return await Authority.load({ certificate, key });
  } catch (error) {
    throw new ConfigError(`${folder} holds no CA that can sign: ${reasonOf(error)}`);
  }
}

/** The names that a server's certificate has; undefined where there is none. */
async function namesIn(file: string): Promise<readonly string[] | undefined> {
  try {
    const { subjectAltName = "" } = new X509Certificate(await readFile(file));
    return subjectAltName.split(", ").map((name) => name.replace(/^(DNS|IP Address):/, ""));
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new ConfigError(`${file} does not tell its names: ${reasonOf(error)}`);
  }
}

function nextLines(folder: string, servers: Servers): readonly string[] {
  const lines = [
    `${folder} holds a folder for every part and person: copy each whole to where it is needed.`,
    `Keep ${folder}/${dirname(caFiles.key)} to yourself: who has it makes certificates.`,
    "",
    ...(servers.has("nats")
      ? [shell`NATS          cd ${folder}/nats && nats-server -c nats.conf`]
      : []),
    shell`coordinator   . ${folder}/coordinator/coordinator.env && bitfleet coordinator`,
    shell`each worker   . ${folder}/worker/worker.env && bitfleet worker`,
    shell`a submitter   . ${folder}/submitter/client.env && bitfleet workers`,
    shell`one more      bitfleet token add NAME --role viewer --tokens ${folder}/${tokensFile}`,
    shell`in a year     bitfleet init ${folder} --renew`,
  ];
  if (servers.get("coordinator")?.length === 0)
    lines.push("", "Only this machine can reach it: --host NAME is what others need.");
  return lines;
}

function under(folder: string, files: FleetFiles): FleetFiles {
  return new Map([...files].map(([path, text]) => [join(folder, path), text]));
}

function unwritable(folder: string, error: unknown): FailureError {
  return new FailureError(`cannot write ${folder}: ${reasonOf(error)}`, { cause: error });
}
