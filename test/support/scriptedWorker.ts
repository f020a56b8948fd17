import { advanceMember, emptyMember, type Member } from "../../src/control/member.js";
import type {
  ChildCommand,
  ChildEvent,
  MemberAction,
  MemberHappening,
} from "../../src/control/memberEvent.js";
import type {
  Check,
  JobOrder,
  Task,
  WorkerCommand,
  WorkerEvent,
} from "../../src/control/message.js";
import { checkpointName, weightsName } from "../../src/job/storedNames.js";
import { openSession } from "../../src/link/grpcClient.js";
import type { SessionClient } from "../../src/link/service.js";
import { incarnationOf, newSecret } from "../../src/wire/incarnation.js";
import { evaluationShards } from "../../src/plan/evaluation.js";
import type { Store } from "../../src/store/store.js";

export interface ScriptedOptions {
  readonly id: string;
  readonly address: string;
  readonly token?: string;
  readonly store: Store;
  /** Time that a toy shard takes. */
  readonly shardMs?: number;
  /** How many classes it finds in any data; two where not given. */
  readonly classes?: number;
  /** Called with what it says to the coordinator, and with what it is told. */
  readonly onSaid?: (event: WorkerEvent) => void;
  readonly onHeard?: (command: WorkerCommand) => void;
}

const toyDigest = "ab".repeat(32);
const toySummary = (classes: readonly string[]): object => ({
  classes,
  trainingCounts: classes.map(() => 20),
  validationCounts: classes.map(() => 5),
  medianWidth: 32,
  medianHeight: 32,
  leftOut: [],
  digest: toyDigest,
});

/** Names as the folders of ImageNet-21k have. */
const classNames = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `n${String(i).padStart(8, "0")}`);

/** Any numbers will do that are a function of the step alone, as those of a real job are. */
const toyChecksum = (step: number): number => Math.imul(step + 1, 2_654_435_761) >>> 0 || 1;

/** The bytes of a toy job's weights. */
export const toyWeights = Buffer.alloc(2_500_000, "weights of a toy ");

/**
 * A worker in this process: the real machine and the real stream to the coordinator, with a child that computes nothing but
 * answers in time.
 */
export class ScriptedWorker {
  readonly #secret = newSecret();
  readonly incarnation = incarnationOf(this.#secret);
  /** What the coordinator has told it, in order. */
  readonly heard: { readonly term: number; readonly command: WorkerCommand }[] = [];
  readonly tasks: Task[] = [];
  /** Why each of its streams has ended. */
  readonly ends: { readonly reason: string; readonly refused: boolean }[] = [];
  readonly #options: ScriptedOptions;
  readonly #ticking: NodeJS.Timeout;
  readonly #timers = new Set<NodeJS.Timeout>();
  #member: Member;
  #session: SessionClient | undefined;
  #child: ToyChild | undefined;
  #dead = false;

  constructor(options: ScriptedOptions) {
    this.#options = options;
    this.#member = emptyMember({
      workerId: options.id,
      incarnation: this.incarnation,
      secret: this.#secret,
      host: "toy",
      pid: 1,
      device: "toy",
      gpu: false,
      numerics: "toy",
    });
    this.#ticking = setInterval(() => this.#handle({ kind: "tick" }), 100);
    this.#connect();
  }

  /** As SIGKILL: nothing more is said, and the stream breaks. */
  kill(): void {
    this.#dead = true;
    clearInterval(this.#ticking);
    for (const timer of this.#timers) clearTimeout(timer);
    this.#session?.close();
  }

  /** The step of the state that it holds. */
  get step(): number {
    return this.#child?.step ?? 0;
  }

  #connect(): void {
    const { address, token = "" } = this.#options;
    this.#session = openSession({
      address,
      token,
      onCommand: (term, command) => {
        if (this.#dead) return;
        this.heard.push({ term, command });
        this.#options.onHeard?.(command);
        this.#handle({ kind: "command", term, command });
      },
      onClosed: (reason, refused) => {
        this.ends.push({ reason, refused });
        this.#handle({ kind: "disconnected" });
        if (!refused) this.#later(100, () => this.#connect());
      },
    });
    this.#handle({ kind: "connected" });
  }

  #handle(happening: MemberHappening): void {
    if (this.#dead) return;
    const event = { ...happening, nowMs: performance.now() };
    const { member, actions } = advanceMember(this.#member, event);
    this.#member = member;
    for (const action of actions) this.#perform(action);
  }

  #perform(action: MemberAction): void {
    switch (action.kind) {
      case "start-child":
        this.#startChild(action.order);
        return;
      case "to-child":
        this.#child?.take(action.command);
        return;
      case "kill-child":
        this.#child?.take({ kind: "close" });
        return;
      case "to-coordinator":
        this.#options.onSaid?.(action.event);
        this.#session?.send(action.event);
        return;
      case "reconnect":
        this.#session?.cut(action.reason);
        return;
      case "start-task":
        void this.#runTask(action.taskId, action.task);
        return;
      case "stop-task":
      case "note":
      case "quit":
        return;
    }
  }

  #startChild(order: JobOrder): void {
    this.#child = new ToyChild({
      order,
      store: this.#options.store,
      shardMs: this.#options.shardMs ?? 2,
      later: (ms, act) => this.#later(ms, act),
      say: (event) => this.#handle({ kind: "child", event }),
    });
  }

  #later(ms: number, act: () => void): void {
    if (this.#dead) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      if (!this.#dead) act();
    }, ms);
    this.#timers.add(timer);
  }

  async #runTask(taskId: string, task: Task): Promise<void> {
    this.tasks.push(task);
    const { store } = this.#options;
    let result: unknown;
    if (task.kind === "index") {
      if (task.settings.data === "/nowhere") {
        const message = "data /nowhere is no folder on the worker";
        const event = { kind: "task-failed", taskId, cause: "config", message } as const;
        this.#handle({ kind: "task", event });
        return;
      }
      const event = { kind: "task-progress", taskId, done: 7, total: 50 } as const;
      this.#handle({ kind: "task", event });
      await store.put(`indexes/${toyDigest}.json`, [Buffer.from("{}")]);
      const { classes } = this.#options;
      result = toySummary(classes === undefined ? ["apple", "pear"] : classNames(classes));
    } else {
      const rows: (readonly [number, number])[][] = [];
      for (const name of task.pictures) {
        let bytes = 0;
        for await (const chunk of store.get(name)) bytes += chunk.length;
        const first = bytes % 2 === 0 ? 0.75 : 0.25;
        rows.push([[first > 0.5 ? 0 : 1, 0.75] as const, [first > 0.5 ? 1 : 0, 0.25] as const]);
      }
      result = rows;
    }
    const event = { kind: "task-done", taskId, result: JSON.stringify(result) } as const;
    this.#handle({ kind: "task", event });
  }
}

interface ToyOptions {
  readonly order: JobOrder;
  readonly store: Store;
  readonly shardMs: number;
  readonly later: (ms: number, act: () => void) => void;
  readonly say: (event: ChildEvent) => void;
}

class ToyChild {
  readonly #options: ToyOptions;
  #closed = false;
  step = 0;
  /** Shards of the present round that are still to be answered. */
  #unanswered = 0;
  #trial = 0;

  constructor(options: ToyOptions) {
    this.#options = options;
    options.later(1, () => {
      options.say({ kind: "ready" });
      options.say({ kind: "prepared", probe: "toy" });
    });
  }

  take(command: ChildCommand): void {
    const { say, later } = this.#options;
    if (this.#closed) return;
    switch (command.kind) {
      case "load":
        this.step = command.step;
        say({ kind: "loaded", step: this.step, parameterChecksum: toyChecksum(this.step) });
        return;
      case "compute":
        if (command.first) this.#unanswered = 0;
        this.#unanswered += command.shards.length + command.checks.length;
        this.#compute(command, [
          ...command.shards.map((shard) => ({ shard, number: 0 })),
          ...command.checks,
        ]);
        return;
      case "apply":
        this.step = command.step + 1;
        say({ kind: "applied", step: this.step, parameterChecksum: toyChecksum(this.step) });
        if (command.save) void this.#save("checkpoint");
        return;
      case "save":
        void this.#save(command.what);
        return;
      case "close":
        this.#closed = true;
        later(1, () => say({ kind: "exited", code: 0, signal: null }));
        return;
      case "deal":
        this.#trial = command.trial;
        // The sum is the same whoever else takes part; a rank without shards only waits for it.
        later(20, () => {
          if (this.#unanswered === 0) this.#sum(command.step);
        });
        return;
      case "prepare":
      case "offer":
        return;
    }
  }

  #compute(
    command: Extract<ChildCommand, { readonly kind: "compute" }>,
    list: readonly Check[],
  ): void {
    const [first, ...rest] = list;
    const { later, say, shardMs } = this.#options;
    if (first === undefined) return;
    later(shardMs, () => {
      if (this.#closed || this.step !== command.step) return;
      const { attempt, step, round } = command;
      const result = this.#result(command.round, step, first);
      this.#unanswered -= 1;
      say({
        kind: "shard",
        attempt,
        step,
        round,
        computeMs: shardMs,
        result,
        parameterChecksum: undefined,
      });
      if (this.#unanswered === 0 && round === "training") this.#sum(step);
      this.#compute(command, rest);
    });
  }

  #result(
    round: "training" | "evaluation",
    step: number,
    { shard, number: check }: Check,
  ): ChildResult {
    const { settings, validationExamples } = this.#options.order;
    const range = evaluationShards(validationExamples)[shard] ?? { first: 0, end: 0 };
    const count = round === "training" ? settings.batch / settings.shards : range.end - range.first;
    const correct = round === "training" ? 0 : count - 1;
    const loss = 1 / (step + 1);
    const checksums = { inputChecksum: shard, gradientChecksum: shard };
    return { shard, loss, count, correct, finite: true, ...checksums, check };
  }

  #sum(step: number): void {
    const { attempt } = this.#options.order;
    const sumChecksum = toyChecksum(step + 1_000_000);
    const trial = this.#trial;
    this.#options.say({ kind: "summed", attempt, step, trial, sumChecksum, exchangeMs: 1 });
  }

  async #save(what: "checkpoint" | "weights"): Promise<void> {
    const { order, store, say } = this.#options;
    const { step } = this;
    const { job } = order;
    const name = what === "weights" ? weightsName(job) : checkpointName(job, step);
    const { bytes } = await store.put(name, [toyWeights]);
    say({ kind: "saved", what, step, parameterDigest: toyDigest, bytes });
  }
}

type ChildResult = Extract<ChildEvent, { readonly kind: "shard" }>["result"];
