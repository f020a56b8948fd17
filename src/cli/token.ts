/** `bitfleet token add | revoke | list`: edits the file of hashed tokens, which a running coordinator reads again. */
import { rm, writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { ConfigError, FailureError, reasonOf } from "../job/problem.js";
import { isWorkerPattern, roles, type Caller, type Role } from "../job/roles.js";
import type { Variables } from "../process/variables.js";
import { isTokenName, tokenDigest } from "../process/tokensFile.js";
import { printJson, type Context } from "./context.js";
import { table } from "./text.js";
import { newToken } from "./tokenFile.js";
import { editTokens, readTokens } from "./tokensEdit.js";

interface TokenFlags {
  readonly tokens?: string;
}

export function addToken(program: Command, context: Context): void {
  const { terminal, variables } = context;
  const command = program
    .command("token")
    .description("add, revoke and list the tokens that a coordinator knows");
  withTokens(command.command("add").description("make a token and print it, this once"))
    .argument("<name>", "who it is for")
    .requiredOption("--role <ROLE>", roles.join(", "))
    .option(
      "--workers <ID...>",
      "of a worker's: the ids it may have, PREFIX* for many; theirs alone",
    )
    .option("--out <FILE>", "write the token there, readable by you alone, and print nothing")
    .option("--json", "print JSON")
    .action(
      async (
        name: string,
        flags: TokenFlags & {
          readonly role: string;
          readonly workers?: readonly string[];
          readonly out?: string;
          readonly json?: boolean;
        },
      ) => {
        const role = checkRole(flags.role);
        const workers = flags.workers && checkWorkers(flags.workers, role);
        const entry = { name: checkName(name), role, ...(workers && { workers }) };
        const token = await add(tokensFile(flags, variables), entry, flags.out);
        if (flags.json === true) {
          printJson(context, {
            ...entry,
            ...(flags.out === undefined ? { token } : { file: flags.out }),
          });
          return;
        }
        if (flags.out === undefined) terminal.out(token);
        terminal.note(`${name} is known as ${entry.role}; the coordinator keeps only a hash`);
      },
    );
  withTokens(command.command("revoke").description("take a token away; its calls end at once"))
    .argument("<name>", "whose")
    .option("--json", "print JSON")
    .action(async (name: string, flags: TokenFlags & { readonly json?: boolean }) => {
      await revoke(tokensFile(flags, variables), checkName(name));
      if (flags.json === true) printJson(context, { name, revoked: true });
      else terminal.out(`${name} is revoked`);
    });
  withTokens(command.command("list").description("list names and roles"))
    .option("--json", "print JSON")
    .action(async (flags: TokenFlags & { readonly json?: boolean }) => {
      const entries = await readTokens(tokensFile(flags, variables));
      const known = entries.map(({ name, role, workers }) => ({ name, role, workers }));
      if (flags.json === true) printJson(context, known);
      else
        for (const line of table(
          ["NAME", "ROLE"],
          known.map(({ name, role, workers }) => [
            name,
            workers === undefined ? role : `${role} (${workers.join(", ")})`,
          ]),
          { columns: terminal.columns },
        ))
          terminal.out(line);
    });
}

/** The file for the token is there first: one that nobody holds would be of no use. */
async function add(file: string, caller: Caller, out: string | undefined): Promise<string> {
  const { name } = caller;
  const token = newToken();
  if (out !== undefined) await writeToken(out, token);
  try {
    await editTokens(file, (entries) => {
      if (entries.some((entry) => entry.name === name))
        throw new ConfigError(`"${name}" has a token in ${file} already; revoke it first`);
      return [...entries, { ...caller, digest: tokenDigest(token) }];
    });
  } catch (error) {
    if (out !== undefined) await rm(out, { force: true });
    throw error;
  }
  return token;
}

async function revoke(file: string, name: string): Promise<void> {
  await editTokens(file, (entries) => {
    const left = entries.filter((entry) => entry.name !== name);
    if (left.length === entries.length) throw new ConfigError(`"${name}" has no token in ${file}`);
    return left;
  });
}

async function writeToken(out: string, token: string): Promise<void> {
  await writeFile(out, `${token}\n`, { flag: "wx", mode: 0o600, flush: true }).catch(
    (error: unknown) => {
      const reason = reasonOf(error);
      throw new FailureError(`cannot write the token to ${out}: ${reason}`);
    },
  );
}

function withTokens(command: Command): Command {
  return command.option("--tokens <FILE>", "the hashed tokens (BITFLEET_TOKENS_FILE)");
}

function tokensFile({ tokens }: TokenFlags, variables: Variables): string {
  const file = tokens ?? variables["BITFLEET_TOKENS_FILE"] ?? "";
  if (file === "")
    throw new ConfigError("--tokens or BITFLEET_TOKENS_FILE must name the file of hashed tokens");
  return file;
}

function checkName(name: string): string {
  const accepted: boolean = isTokenName(name);
  if (accepted) return name;
  throw new ConfigError(
    `the name is "${name}", but must be 1 to 63 lower-case letters, digits or hyphens`,
  );
}

function checkWorkers(workers: readonly string[], role: Role): readonly string[] {
  const isRight: (one: string) => boolean = isWorkerPattern;
  const wrong = workers.find((one) => !isRight(one));
  if (wrong !== undefined)
    throw new ConfigError(
      `--workers is "${wrong}", but must be a worker id (letters, digits, - and _), or the beginning of some and a *`,
    );
  if (role !== "worker")
    throw new ConfigError(`--workers is for the role worker, and --role is ${role}`);
  return workers;
}

function checkRole(value: string): Role {
  const role = roles.find((known) => known === value);
  if (role === undefined)
    throw new ConfigError(`--role is "${value}", but must be one of ${roles.join(", ")}`);
  return role;
}
