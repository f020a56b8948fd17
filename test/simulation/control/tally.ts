import { faultNames, type Fault } from "./faults.js";
import type { Outcome } from "./simulation.js";

/** What became of many seeds. */
export interface Tally {
  readonly seeds: number;
  readonly rounds: number;
  readonly redone: number;
  readonly rewound: number;
  readonly failed: readonly number[];
  readonly fired: ReadonlyMap<Fault, number>;
  /** Per seed: ms from the last fault to the end of all jobs. */
  readonly endedMs: readonly number[];
  /** The fewest of each that a seed had. */
  readonly roundsLeast: number;
  readonly faultsLeast: number;
}

export const emptyTally: Tally = {
  seeds: 0,
  rounds: 0,
  redone: 0,
  rewound: 0,
  failed: [],
  fired: new Map(),
  endedMs: [],
  roundsLeast: Infinity,
  faultsLeast: Infinity,
};

export function added(tally: Tally, outcome: Outcome): Tally {
  return joined(tally, {
    seeds: 1,
    rounds: outcome.rounds,
    redone: outcome.redone,
    rewound: outcome.rewound,
    failed: outcome.mistakes.length > 0 ? [outcome.seed] : [],
    fired: outcome.fired,
    endedMs: [Math.max(0, outcome.endMs - outcome.healedMs)],
    roundsLeast: outcome.rounds,
    faultsLeast: sum([...outcome.fired.values()]),
  });
}

export function joined(a: Tally, b: Tally): Tally {
  return {
    seeds: a.seeds + b.seeds,
    rounds: a.rounds + b.rounds,
    redone: a.redone + b.redone,
    rewound: a.rewound + b.rewound,
    failed: [...a.failed, ...b.failed].toSorted((one, other) => one - other),
    fired: new Map(
      faultNames.map((fault) => [fault, (a.fired.get(fault) ?? 0) + (b.fired.get(fault) ?? 0)]),
    ),
    endedMs: [...a.endedMs, ...b.endedMs],
    roundsLeast: Math.min(a.roundsLeast, b.roundsLeast),
    faultsLeast: Math.min(a.faultsLeast, b.faultsLeast),
  };
}

export function report(tally: Tally): readonly string[] {
  const { seeds, rounds, redone, rewound, failed, fired, roundsLeast, faultsLeast } = tally;
  return [
    `${seeds} seeds: ${rounds} rounds decided, ${sum([...fired.values()])} faults, ${failed.length} seeds wrong`,
    `every seed had at least ${roundsLeast} rounds and ${faultsLeast} faults`,
    `steps decided again, alike, by a later coordinator: ${redone}`,
    `jobs that went back to a checkpoint, with nobody left who held their state: ${rewound}`,
    `simulated time from the last fault to the end: half under ${ended(tally, 0.5)}, all under ${ended(tally, 1)}`,
    ...[...fired].map(([fault, times]) => `${String(times).padStart(8)}  ${fault}`),
    ...(failed.length === 0 ? [] : [`wrong: ${failed.slice(0, 20).join(", ")}`]),
  ];
}

function ended({ endedMs }: Tally, part: number): string {
  const sorted = endedMs.toSorted((a, b) => a - b);
  const ms = sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0;
  return `${(ms / 1000).toFixed(1)} s`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0);
}
