/**
 * A command line for a person to copy: every value that is put in is one word to the shell, quoted where it has to be. Wherever a
 * sentence suggests a command, this makes it (lint asks for it).
 */
export function shell(text: TemplateStringsArray, ...values: readonly string[]): string {
  return text.reduce((line, part, i) => `${line}${shellWord(values[i - 1] ?? "")}${part}`);
}

function shellWord(value: string): string {
  // A ~ stays one: a path that begins with it is none of a home folder here.
  return /^[\w@%+=:,./-]*$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`;
}
