import type { Terminal } from "../../src/cli/terminal.js";

/** A terminal that keeps what is written, without colours. */
export class FakeTerminal implements Terminal {
  readonly interactive: boolean;
  readonly answers: string[] = [];
  readonly notes: string[] = [];
  /** Live lines, in order; "" where one was taken away. */
  readonly lives: string[] = [];

  readonly columns: number | undefined;
  /** Whether the process was to go on without a reader. */
  outlives = false;

  constructor(interactive = false, columns?: number) {
    this.interactive = interactive;
    this.columns = columns;
  }

  outliveReader(): void {
    this.outlives = true;
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
