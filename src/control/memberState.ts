import type { ChildCommand, Leaving, MemberAction } from "./memberEvent.js";
import type {
  Check,
  HeldState,
  JobOrder,
  RoundKind,
  RoundMember,
  ShardResult,
  StateSource,
  StepFacts,
  TaskEvent,
  WorkerEvent,
} from "./message.js";

/** All that a worker's supervisor knows. */
export interface Member {
  readonly identity: Identity;
  readonly times: MemberTimes;
  /** The highest coordinator term obeyed. */
  readonly term: number;
  readonly link: Link;
  readonly child: Child;
  /** An order that waits for the child before it to end. */
  readonly next: JobOrder | undefined;
  /** By task id: how it ended, undefined while it runs. */
  readonly tasks: ReadonlyMap<string, TaskEvent | undefined>;
  /** How often in a row the system killed a child at the same point. */
  readonly kills: Kills | undefined;
  /** Why the process is to end, once its child and its tasks have. */
  readonly leaving: Departure | undefined;
  readonly tickedMs: number | undefined;
}

export interface Departure extends Leaving {
  readonly sinceMs: number;
  /** It does not wait to be released. */
  readonly atOnce: boolean;
}

export interface Kills {
  readonly job: string;
  readonly step: number;
  readonly count: number;
}

/** What a worker says of itself in every `hello`. */
export type Identity = Omit<
  Extract<WorkerEvent, { readonly kind: "hello" }>,
  "kind" | "term" | "held"
>;

export interface MemberTimes {
  /** A child that was told to end is killed after this long. */
  readonly closeMs: number;
  /** After this long without a coordinator the worker ends, and its child with it. */
  readonly orphanMs: number;
  /** One that is to leave waits so long to be released, and so long for a coordinator that is away. */
  readonly graceMs: number;
  readonly lonelyMs: number;
  /** A coordinator that has not answered the hello by then is tried again. */
  readonly welcomeMs: number;
  /** One that has answered no beat for this long, too. */
  readonly unansweredMs: number;
  /** A child that says nothing for this long is told of. */
  readonly childSilentMs: number;
}

export type Link =
  /** Since the first tick after the stream ended. */
  | { readonly kind: "down"; readonly sinceMs: number | undefined }
  /** Said hello; not welcomed yet. */
  | {
      readonly kind: "greeting";
      readonly sinceMs: number | undefined;
      readonly helloMs: number;
      /** What the hello said that it holds. */
      readonly held: HeldState | undefined;
    }
  | {
      readonly kind: "up";
      readonly beatMs: number;
      readonly beatenMs: number;
      /** When the last answer to a beat came. */
      readonly answeredMs: number;
    };

export type Child =
  | { readonly kind: "none" }
  | Working
  | {
      readonly kind: "closing";
      readonly job: string;
      readonly sinceMs: number;
      /** Whether the coordinator waits to hear of it. */
      readonly answer: boolean;
    };

/** A child at work on a job. */
export interface Working {
  readonly kind: "working";
  readonly order: JobOrder;
  /** Undefined until it is prepared. */
  readonly probe: string | undefined;
  /** The last state that it was told to load. */
  readonly load: { readonly step: number; readonly source: StateSource } | undefined;
  /** The state that it is known to hold. */
  readonly held: { readonly step: number; readonly parameterChecksum: number } | undefined;
  /** The step that it is at when it has done all that it was told. */
  readonly step: number;
  /** The last steps that it was told to apply, without a gap. */
  readonly trail: readonly StepFacts[];
  readonly round: MemberRound | undefined;
  /** The last thing that it wrote to the store. */
  readonly saved: Extract<WorkerEvent, { readonly kind: "saved" }> | undefined;
  readonly waitingFor: readonly string[];
  readonly natsAgeMs: number;
  readonly residentBytes: number;
  readonly unitMs: number;
  /** When it last said something, and whether its silence has been told of. */
  readonly heardMs: number;
  readonly isSilent: boolean;
}

/** The round under way, as this worker sees it. */
export interface MemberRound {
  readonly round: RoundKind;
  readonly step: number;
  readonly generation: number;
  readonly members: readonly RoundMember[];
  /** Whether it only collects the sum, to become a member later. */
  readonly follows: boolean;
  /** Own shards, in the order in which they were put on the child's list. */
  readonly dealt: readonly number[];
  readonly computed: ReadonlyMap<number, ShardResult>;
  /** Of others' shards, to compare; see the command. */
  readonly checks: readonly Check[];
  readonly checked: readonly ShardResult[];
  /** As last taken behind a shard of the round. */
  readonly parameterChecksum: number | undefined;
  readonly trial: number;
  readonly computeMs: number;
  readonly sum: { readonly sumChecksum: number; readonly exchangeMs: number } | undefined;
  /** Whether the present generation has its report. */
  readonly reported: boolean;
}

/** What has become of the member so far in one event, and what is to be done. */
export interface MemberTransition {
  readonly member: Member;
  readonly actions: readonly MemberAction[];
  readonly nowMs: number;
}

export function set(t: MemberTransition, part: Partial<Member>): MemberTransition {
  return { ...t, member: { ...t.member, ...part } };
}

export function withChild(t: MemberTransition, child: Working): MemberTransition {
  return { ...t, member: { ...t.member, child } };
}

export function act(t: MemberTransition, ...actions: readonly MemberAction[]): MemberTransition {
  return { ...t, actions: [...t.actions, ...actions] };
}

export function toChild(t: MemberTransition, command: ChildCommand): MemberTransition {
  return act(t, { kind: "to-child", command });
}

/** Tells the coordinator; without one nothing is said, and hello tells what matters later. */
export function say(t: MemberTransition, event: WorkerEvent): MemberTransition {
  return t.member.link.kind === "up" ? act(t, { kind: "to-coordinator", event }) : t;
}

export function setChild(
  t: MemberTransition,
  child: Working,
  part: Partial<Working>,
): MemberTransition {
  return withChild(t, { ...child, ...part });
}
