import type { Terminal } from "../../src/cli/terminal.js";

/** A terminal that keeps what is written, without colours. */
export class FakeTerminal implements Terminal {
  readonly interactive: boolean;
  readonly answers: string[] = [];
  readonly notes: string[] = [];
  /** Live lines, in order; "" where one was taken away. */
  readonly lives: string[] = [];

  constructor(interactive = false) {
    this.interactive = interactive;
  }

  out(line: string): void {
    this.answers.push(line);
  }

  note(line: string): void {
    this.notes.push(line);
  }

  live(line: string): void {
    if (this.interactive) this.lives.push(line);
  }

  clearLive(): void {
    if (this.lives.length > 0) this.lives.push("");
  }

  paint(_color: string, text: string): string {
    return text;
  }

  get answer(): string {
    return this.answers.join("\n");
  }

  get noted(): string {
    return this.notes.join("\n");
  }
}
