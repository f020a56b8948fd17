/** Commands as commander has them, with one voice for wrong use, and help that fits a narrow terminal. */
import { Command, Help } from "commander";
import { ConfigError } from "../job/problem.js";
import { misuse } from "./misuse.js";

export class SpokenCommand extends Command {
  override createCommand(name?: string): SpokenCommand {
    return new SpokenCommand(name);
  }

  override createHelp(): Help {
    return Object.assign(new FittingHelp(), this.configureHelp());
  }

  /** ConfigError: always; commander calls this where a command line is wrong. */
  override error(message: string, options: { readonly code?: string } = {}): never {
    throw new ConfigError(misuse(message, options.code ?? "", this));
  }
}

/** Less room than this for a description puts it below what it describes. */
const besideMin = 28;
const belowIndent = 6;

class FittingHelp extends Help {
  override minWidthToWrap = 20;

  override formatItem(term: string, termWidth: number, description: string, helper: Help): string {
    const width = this.helpWidth ?? 80;
    if (width - termWidth - 4 >= besideMin)
      return super.formatItem(term, termWidth, description, helper);
    const wrapped = helper.boxWrap(description, width - belowIndent);
    return [term.trimEnd(), ...wrapped.split("\n").map((line) => `    ${line}`)]
      .map((line) => `  ${line}`)
      .join("\n");
  }
}
