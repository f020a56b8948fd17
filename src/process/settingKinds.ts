/** What the rows of the tables of settings are. */

/** Who reads a setting: a process, or a command that calls a coordinator. */
export type Part = "coordinator" | "worker" | "client";

export type ProcessSetting = {
  /** What it is to each part that reads it, without a full stop. */
  readonly about: Readonly<Partial<Record<Part, string>>>;
  /** As in help: `--port <PORT>`. */
  readonly flag?: `--${string} <${string}>`;
  /** Parts that read the variable alone and have no such flag. */
  readonly flagless?: readonly Part[];
} & (
  | { readonly kind: "port"; readonly default: number | string }
  | {
      readonly kind: "whole";
      readonly min: number;
      readonly max: number;
      readonly unit?: "seconds" | "bytes";
      readonly default: number | string;
    }
  | { readonly kind: "choice"; readonly choices: readonly string[]; readonly default: string }
  /** A path, made absolute where a flag gives it. The default is for people; empty: none. */
  | { readonly kind: "file" | "folder"; readonly default: string }
  /** A folder, or s3://BUCKET/PREFIX. */
  | { readonly kind: "store"; readonly default: string }
  /** Whatever else: `must` says of which form. Without a pattern whoever reads it checks more than a pattern can say. */
  | {
      readonly kind: "text";
      readonly must: string;
      readonly pattern?: RegExp;
      readonly default: string;
    }
);
