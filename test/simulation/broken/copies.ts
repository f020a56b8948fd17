import type { SimulationOptions } from "../control/simulation.js";

/**
 * Copies of the code under test that are broken in one place each. Where the simulation sees none of
 * them, it is no use; see run.ts.
 */
export interface BrokenCopy {
  /** What it does wrong. */
  readonly what: string;
  /** The compiled module, below dist/. */
  readonly file: string;
  /** Occurs once in it, and is replaced. */
  readonly from: string;
  readonly to: string;
  /** Where it shows only under certain faults. */
  readonly options?: Partial<SimulationOptions>;
}

export const brokenCopies: readonly BrokenCopy[] = [
  {
    what: "a worker obeys a coordinator of a lower term",
    file: "src/control/member.js",
    from: "if (term < highest)",
    to: "if (false)",
    options: { faults: ["coordinator killed", "word of an old coordinator"], everyMs: 500 },
  },
  {
    what: "workers are told what follows from a record before it is durable",
    file: "coordinator/outbox.js",
    from: "if (last && decisive.every((field) => last[field] === record[field]))",
    to: "if (true)",
  },
  {
    what: "a step is committed before all members have its sum",
    file: "src/control/round.js",
    from: "left.every((id) => phase.sums.has(id))",
    to: "true",
    options: { faults: ["sum wrong", "shard wrong", "worker killed", "stream cut"], everyMs: 400 },
  },
  {
    what: "nobody takes over the shards of who is lost",
    file: "src/control/round.js",
    from: "...dealRest(pace, takers, kept, missing)",
    to: "",
  },
  {
    what: "nobody looks at the numbers of a round",
    file: "src/control/round.js",
    from: "const finding = examine(t, phase, left);",
    to: 'const finding = { kind: "sound" };',
  },
  {
    what: "evaluations are not compared",
    file: "src/control/checking.js",
    from: "return (shard) => audited.has(shard);",
    to: "return () => false;",
    options: { faults: ["evaluation wrong"], everyMs: 500 },
  },
  {
    what: "what nobody can have got is believed",
    file: "src/control/examining.js",
    from: "if (lies.length > 0)",
    to: "if (false)",
    options: { faults: ["evaluation impossible"], everyMs: 500 },
  },
  {
    what: "a job goes on though it is being cancelled",
    file: "src/control/round.js",
    from: "if (run.cancelled)",
    to: "if (false)",
    options: { faults: ["cancelled", "resumed"], everyMs: 500 },
  },
  {
    what: "a job takes workers of any arithmetic",
    file: "src/control/participation.js",
    from: "if (pin === undefined || pin.numerics === hello.numerics || plan.settings.mixedDevices)",
    to: "if (true)",
    options: { faults: ["foreign arithmetic", "worker killed"], everyMs: 500 },
  },
  {
    what: "after a restart the log is written from its beginning",
    file: "src/control/fleet.js",
    from: "logged.get(name) ??",
    to: "",
  },
  {
    what: "other members are no new generation",
    file: "src/control/participation.js",
    from: "generation: generation + 1",
    to: "generation",
  },
  {
    what: "a job goes back to its checkpoint although a worker with its state lives",
    file: "src/control/recovery.js",
    from: "return runOf(t).cancelled ? leaseMs : goneMs;",
    to: "return 0;",
  },
  {
    what: "leases never run out",
    file: "src/control/members.js",
    from: "if (now - heardMs >= leaseMs)",
    to: "if (false)",
    options: { faults: ["worker not heard", "worker stopped"], everyMs: 800 },
  },
  {
    what: "a job that has not ended is removed",
    file: "coordinator/jobRemoval.js",
    from: "if (!hasEnded(state))",
    to: "if (false)",
    options: { faults: ["removed", "coordinator killed"], everyMs: 500 },
  },
  {
    what: "a job that is removed takes the files of others with it",
    file: "coordinator/jobRemoval.js",
    from: "`jobs/${job}/`",
    to: '"jobs/"',
    options: { faults: ["cancelled", "removed", "all workers killed"], everyMs: 800 },
  },
  {
    what: "a job that is removed takes the index of others with it",
    file: "coordinator/jobRemoval.js",
    from: "if (indexDigest === digest)",
    to: "if (false)",
    options: { faults: ["cancelled", "removed"], everyMs: 500 },
  },
  {
    what: "a removal that was begun leaves no mark",
    file: "coordinator/jobRemoval.js",
    from: "await removed.mark(name, keepsWeights);",
    to: "",
    options: { faults: ["cancelled", "removed by one that is replaced"], everyMs: 700 },
  },
];
