declare module "parse-prometheus-text-format" {
  /** Throws a SyntaxError where the text is none. */
  function parse(text: string): readonly {
    readonly name: string;
    readonly type: string;
    readonly metrics: readonly {
      readonly labels?: Readonly<Record<string, string>>;
      readonly value?: string;
    }[];
  }[];
  export = parse;
}
