// Types for the tests; the set-up itself runs before there is a compiler.

interface Machine {
  readonly platform: string;
  readonly arch: string;
}

interface LockFile {
  readonly packages?: Readonly<
    Record<
      string,
      {
        readonly version?: string;
        readonly integrity?: string;
        readonly optional?: boolean;
        readonly os?: readonly string[];
        readonly cpu?: readonly string[];
        readonly libc?: readonly string[];
      }
    >
  >;
}

interface VitestReport {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string }[];
  }[];
}

export function compareVersions(a: string, b: string): number;
export function cpuProblem(machine: {
  readonly arch: string;
  readonly cpuInfo?: string | undefined;
}): string | undefined;
export function machineProblem(
  machine: Machine & { readonly glibc: string | undefined },
): string | undefined;
export function missingToolsMessage(
  tools: readonly string[],
  manager: string | undefined,
  isRoot: boolean,
): string;
export function parseArguments(args: readonly string[]): {
  readonly device: "auto" | "gpu" | "cpu";
  readonly forTests: boolean;
  readonly run: string | undefined;
  readonly rest: readonly string[];
};
export function missingPackages(
  lock: LockFile,
  installed: LockFile,
  machine: Machine,
): readonly string[];
export function extraRequirements(metadata: string, extra: string): readonly string[];
export function orphans(compiled: readonly string[], sources: readonly string[]): readonly string[];
export function countTests(
  report: VitestReport | undefined,
  exitCode: number,
): { readonly passed: number; readonly failed: number };
