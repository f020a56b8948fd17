/** What is wrong with a command line, in one sentence, and what to write instead. */
import type { Command } from "commander";
import { habit, habitualCommands, habitualFlags } from "./habits.js";

/** `message` and `code` as commander makes them, `command` the one that was to run. */
export function misuse(message: string, code: string, command: Command): string {
  const [sentence = "", near] = message.replace(/^error: /, "").split("\n");
  const given = /'([^']*)'/.exec(sentence)?.[1] ?? "";
  const meant = near?.replace(
    /^\((.)(.*)\)$/,
    (_, first: string, rest: string) => `${first.toLowerCase()}${rest}`,
  );
  switch (code) {
    case "commander.unknownCommand":
      return `${sentence}: ${habit(habitualCommands[path(command)], given.toLowerCase()) ?? meant ?? more(command)}`;
    case "commander.unknownOption":
      return `${sentence}: ${flagMeant(given, command) ?? meant ?? more(command)}`;
    case "commander.excessArguments":
      return excess(command);
    case "commander.missingArgument":
      return `${sentence}: ${usage(command)}`;
    case "commander.missingMandatoryOptionValue": {
      const [flag = "", value = ""] = given.split(" ");
      return `${flag.replace(/^--/, "")} is not given: ${flag} ${value.replace(/[<>]/g, "")}`;
    }
    default:
      return sentence;
  }
}

/** A flag of one hyphen, of underscores or capitals, or one that other tools have. */
function flagMeant(given: string, command: Command): string | undefined {
  const word = (given.split("=")[0] ?? "").replace(/^-+/, "").replaceAll("_", "-").toLowerCase();
  const known = command.options.find(({ long }) => long === `--${word}`)?.long;
  if (known !== undefined) return `did you mean ${known}?`;
  return habit(habitualFlags[path(command)], word);
}

function excess(command: Command): string {
  const word = command.args[command.registeredArguments.length] ?? "";
  const start = `too many arguments, "${word}" is one that ${full(command)} does not take: `;
  if (word === "help") return `${start}${full(command)} --help shows its help`;
  if (command.name() === "submit")
    return `${start}a job's name goes behind --name, and a value with blanks into quotes`;
  if (command.name() === "jobs") return `${start}"bitfleet status JOB" shows one job`;
  return `${start}${usage(command)}`;
}

/** `bitfleet status JOB`. */
function usage(command: Command): string {
  const names = command.registeredArguments.map((argument) => {
    const name = argument.name().toUpperCase();
    return argument.variadic ? `${name}...` : name;
  });
  return [full(command), ...names].join(" ");
}

function more(command: Command): string {
  return `${full(command)} --help tells all`;
}

/** "bitfleet data push" */
function full(command: Command): string {
  return `bitfleet ${path(command)}`.trimEnd();
}

/** "data push"; "" for bitfleet itself. */
function path(command: Command): string {
  const { parent } = command;
  return parent === null ? "" : `${path(parent)} ${command.name()}`.trimStart();
}
