/**
 * One coordinator at a time. The holder writes the lock anew every `renewMs`; whoever has watched it stay the same for `leaseMs`,
 * on his own monotonic clock and with NATS answering all the while, may replace it. Both writes name the version that they
 * replace, so one of them wins, and the other learns of it. A holder whose process is known to have ended is replaced at once.
 * While NATS is away nobody can take over, and the holder goes on. What makes two holders harmless is not the lease but the term:
 * one more than any before, in every command, and workers refuse a lower one.
 */
import { aheadMax, countMax, termSaidMax } from "../src/job/limits.js";
import { FailureError } from "../src/job/problem.js";
import type { Bucket, Entry } from "../src/link/jetstream.js";
import { machineClock, type Clock } from "./clock.js";

export interface LockTimes {
  readonly leaseMs: number;
  readonly renewMs: number;
}

export const lockTimes: LockTimes = { leaseMs: 2000, renewMs: 500 };

/** The terms that coordinators have had, kept where NATS cannot lose them. */
export interface TermBook {
  /** The highest that is known of. */
  highest(): Promise<number>;
  /** Takes a term for oneself; false where another has it. */
  claim(term: number): Promise<boolean>;
  /** One that was claimed in vain. */
  giveBack(term: number): Promise<void>;
}

export interface LockOptions {
  /** Names this process to people: host and process id. */
  readonly holder: string;
  /** Names it to `isGone`. */
  readonly identity: string;
  /** Whether the process of that identity is known to have ended: then its lease need not run out. */
  readonly isGone: (identity: string) => boolean;
  /** Asked before the lock is taken, and where it is missing. */
  readonly terms: TermBook;
  readonly times?: LockTimes;
  readonly clock?: Clock;
  readonly signal: AbortSignal;
  /** Called once for every other holder that is waited for. */
  readonly onWait: (holder: string, term: number) => void;
  /** Called once when another has taken the lock: act no more. */
  readonly onLost: (reason: string) => void;
}

/** What the bucket holds. An empty holder has given the lock back. */
interface Lock {
  readonly holder: string;
  readonly term: number;
  /** Of the holder's process, see src/process/identity.ts. */
  readonly identity: string;
}

interface Held {
  readonly term: number;
  readonly revision: number;
}

const key = "coordinator";
const retryMs = 250;
/** So often may a term be raised above one of which neither lock nor store know: each time all workers have to come back. */
const unknownMax = 3;
const unknownWithinMs = 600_000;

/** The term that the lock holds now, or why nobody can have had the one that was seen. */
export type Raised = { readonly term: number } | { readonly refusal: string };

export class CoordinatorLock {
  readonly #bucket: Bucket;
  readonly #options: LockOptions;
  readonly #times: LockTimes;
  readonly #clock: Clock;
  readonly #stop = new AbortController();
  #held: Held;
  /** The term that the lock in NATS is known to hold. */
  #written: number;
  #renewing: Promise<void>;
  /** Who waits to hear whether a renewal that is still to begin succeeds. */
  readonly #asked: ((isOurs: boolean) => void)[] = [];
  #hurry = new AbortController();
  /** When terms were raised above unknown ones. */
  #unknownMs: readonly number[] = [];

  /** Waits as a standby for as long as another holds the lock; rejects when the signal aborts. */
  static async acquire(bucket: Bucket, options: LockOptions): Promise<CoordinatorLock> {
    return new CoordinatorLock(bucket, options, await take(bucket, options));
  }

  private constructor(bucket: Bucket, options: LockOptions, held: Held) {
    this.#bucket = bucket;
    this.#options = options;
    this.#times = options.times ?? lockTimes;
    this.#clock = options.clock ?? machineClock;
    this.#held = held;
    this.#written = held.term;
    this.#renewing = this.#renew();
  }

  /** As the lock in NATS is known to hold it: one that is being raised may turn out not to be ours to raise. */
  get term(): number {
    return this.#written;
  }

  /**
   * Takes a term above one that a worker has obeyed; resolves once the lock holds it. Where lock and store know of no such term
   * both have lost it, or the worker has never heard it: it is believed only a little way, and not again and again.
   */
  async raise(seen: number): Promise<Raised> {
    if (this.#held.term <= seen) {
      const stored = await this.#options.terms.highest().catch(() => 0);
      const known = Math.max(this.#held.term, stored);
      const refusal = known < seen ? this.#disbelief(seen, known) : undefined;
      if (refusal !== undefined) return { refusal };
      const claimed = await claimFrom(Math.max(seen, known) + 1, this.#options.terms);
      this.#held = { ...this.#held, term: Math.max(this.#held.term, claimed) };
    }
    const { term } = this.#held;
    while (this.#written < term)
      await this.#clock.sleep(this.#times.renewMs / 4, this.#options.signal);
    return { term };
  }

  #disbelief(seen: number, known: number): string | undefined {
    const most = Math.min(known + aheadMax, termSaidMax);
    if (seen > most)
      return `it said that it has obeyed term ${seen}; the highest known is ${known}, and at most ${most} is believed`;
    const nowMs = this.#clock.nowMs();
    this.#unknownMs = this.#unknownMs.filter((atMs) => nowMs - atMs < unknownWithinMs);
    if (this.#unknownMs.length >= unknownMax)
      return (
        `it said that it has obeyed term ${seen}; the highest known is ${known}, ` +
        `and ${unknownMax} terms of which only workers knew were believed in ${unknownWithinMs / 60_000} minutes`
      );
    this.#unknownMs = [...this.#unknownMs, nowMs];
    return undefined;
  }

  /**
   * Whether the lock is ours after this call began: what was written before it is then known to any successor. Waits while NATS
   * is away; false once another has taken over, or we have given up.
   */
  async confirm(): Promise<boolean> {
    if (this.#stop.signal.aborted || this.#options.signal.aborted) return false;
    const asked = new Promise<boolean>((resolve) => this.#asked.push(resolve));
    // A reason of its own: to make the usual one takes longer than all the rest.
    this.#hurry.abort("asked");
    return asked;
  }

  /** Gives the lock back, so that the next need not wait for the lease to run out. */
  async release(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    await this.#renewing;
    const waiting = new AbortController();
    const end = (): void => waiting.abort();
    void this.#clock.sleep(this.#times.leaseMs, waiting.signal).then(end, end);
    const freed = { holder: "", term: this.#held.term, identity: "" };
    try {
      await this.#bucket.write(key, encode(freed), this.#held.revision, waiting.signal);
    } finally {
      end();
    }
  }

  async #renew(): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, this.#options.signal]);
    try {
      for (;;) {
        await this.#pause(signal);
        const asked = this.#asked.splice(0);
        const term = this.#held.term;
        const isOurs = await this.#write(term);
        for (const answer of asked) answer(isOurs);
        if (!isOurs) {
          this.#lose();
          return;
        }
        this.#written = term;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      for (const answer of this.#asked.splice(0)) answer(false);
    }
  }

  /** Until it is time to renew, or somebody asks. */
  async #pause(signal: AbortSignal): Promise<void> {
    if (this.#asked.length > 0) return;
    this.#hurry = new AbortController();
    const either = AbortSignal.any([signal, this.#hurry.signal]);
    try {
      await this.#clock.sleep(this.#times.renewMs, either);
    } catch (error) {
      if (signal.aborted || !this.#hurry.signal.aborted) throw error;
    }
  }

  /** False where another has written the lock. */
  async #write(term: number): Promise<boolean> {
    // Not aborted half-way: `release` has to know the revision that came of it.
    const { holder, identity, signal } = this.#options;
    const value = encode({ holder, term, identity });
    for (;;) {
      const written = await this.#bucket.write(key, value, this.#held.revision, signal);
      if (written !== undefined) {
        this.#held = { ...this.#held, revision: written };
        return true;
      }
      const there = await this.#readPatiently();
      if (there !== undefined && !there.isOurs) return false;
      // NATS has lost what it had stored: what is missing is still ours unless another had taken it before.
      if (there === undefined && (await this.#highestTerm()) > term) return false;
      this.#held = { ...this.#held, revision: there?.revision ?? 0 };
    }
  }

  async #readPatiently(): Promise<Entry | undefined> {
    for (;;) {
      const entry = await readQuietly(this.#bucket);
      if (entry !== "unknown") return entry;
      await this.#clock.sleep(retryMs, this.#options.signal);
    }
  }

  async #highestTerm(): Promise<number> {
    for (;;) {
      try {
        return await this.#options.terms.highest();
      } catch {
        await this.#clock.sleep(retryMs, this.#options.signal);
      }
    }
  }

  #lose(): void {
    this.#stop.abort();
    this.#options.onLost(`another coordinator has taken over after term ${this.#held.term}`);
  }
}

async function take(bucket: Bucket, options: LockOptions): Promise<Held> {
  const { leaseMs, renewMs } = options.times ?? lockTimes;
  const clock = options.clock ?? machineClock;
  let seen: { readonly revision: number; readonly atMs: number } | undefined;
  let waitingFor = "";
  let termSeen = 0;
  for (;;) {
    options.signal.throwIfAborted();
    const entry = await readQuietly(bucket);
    // Without an answer nobody could have renewed either: the lease is counted from the next answer on.
    if (entry === "unknown") seen = undefined;
    else {
      const nowMs = clock.nowMs();
      const revision = entry?.revision ?? 0;
      const lock = entry && decode(entry.value);
      if (seen?.revision !== revision) seen = { revision, atMs: nowMs };
      termSeen = Math.max(termSeen, lock?.term ?? 0);
      const isOver = nowMs - seen.atMs >= leaseMs;
      if (isOver || isFree(lock, waitingFor !== "", options)) {
        const held = await replace(bucket, options, { termSeen, revision });
        if (held) return held;
      } else if (lock !== undefined && waitingFor !== lock.holder) {
        waitingFor = lock.holder;
        options.onWait(lock.holder, lock.term);
      }
    }
    await clock.sleep(Math.min(renewMs, leaseMs / 4), options.signal);
  }
}

/** A lock that was there and is missing went with NATS' storage: its holder, if it lives, writes it anew within the lease. */
function isFree(lock: Lock | undefined, wasHeld: boolean, options: LockOptions): boolean {
  if (lock === undefined) return !wasHeld;
  return lock.holder === "" || (lock.identity !== "" && options.isGone(lock.identity));
}

async function replace(
  bucket: Bucket,
  { holder, identity, terms, signal }: LockOptions,
  { termSeen, revision }: { readonly termSeen: number; readonly revision: number },
): Promise<Held | undefined> {
  // Not only where there is no lock: an earlier holder may have written one anew after NATS had lost a later one.
  const term = await claimFrom(Math.max(termSeen, await terms.highest()) + 1, terms);
  const value = encode({ holder, term, identity });
  const written = await bucket.write(key, value, revision, signal);
  if (written !== undefined) return { term, revision: written };
  await terms.giveBack(term);
  return undefined;
}

/** The first term from there on that nobody has. */
async function claimFrom(least: number, terms: TermBook): Promise<number> {
  let term = least;
  while (!(await terms.claim(term))) term += 1;
  return term;
}

async function readQuietly(bucket: Bucket): Promise<Entry | undefined | "unknown"> {
  try {
    return await bucket.read(key);
  } catch {
    return "unknown";
  }
}

function encode(lock: Lock): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(lock));
}

function decode(bytes: Uint8Array): Lock {
  const refusal = new FailureError(
    `the coordinator's lock in NATS (bucket bitfleet_lock, key ${key}) holds no lock of Bitfleet's; where no coordinator runs the key may be deleted`,
  );
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw refusal;
  }
  if (typeof value !== "object" || value === null) throw refusal;
  if (!("holder" in value) || typeof value.holder !== "string") throw refusal;
  if (!("term" in value) || typeof value.term !== "number" || !Number.isInteger(value.term))
    throw refusal;
  // What follows from it goes out in every command.
  if (value.term < 0 || value.term >= countMax) throw refusal;
  const identity = "identity" in value && typeof value.identity === "string" ? value.identity : "";
  return { holder: value.holder, term: value.term, identity };
}
