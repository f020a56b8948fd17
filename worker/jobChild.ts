import { crc32 } from "node:zlib";
import { rate } from "../src/bit/recipe.js";
import type { ChildCommand, ChildEvent } from "../src/control/memberEvent.js";
import type { JobOrder, NatsAccess } from "../src/control/message.js";
import { BufferPool, type Buffers } from "../src/exchange/bufferPool.js";
import { bytesOf } from "../src/exchange/content.js";
import type { ExchangeEvent } from "../src/exchange/exchange.js";
import { OpenSteps, type Update } from "../src/exchange/openSteps.js";
import { assert, FailureError } from "../src/job/problem.js";
import { statusText } from "../src/link/frameLink.js";
import { ExchangePump } from "../src/link/exchangePump.js";
import { connectFrames } from "../src/link/nats.js";
import { temporaryFolder } from "../src/process/temporaryFolder.js";
import { openStore } from "../src/store/openStore.js";
import type { Store } from "../src/store/store.js";
import type { Variables } from "../src/process/variables.js";
import { natsTls } from "../src/process/natsSettings.js";
import type { ChildNews } from "./childNews.js";
import type { Failpoint } from "./failpoint.js";
import { Faults } from "./faults.js";
import { probe, type Threads } from "./probe.js";
import { saveCheckpointOf, saveWeightsOf, whyNotSaved, type Snapshot } from "./saving.js";
import { ShardWork } from "./shardWork.js";
import { stateFrom, untrained, type State } from "./state.js";
import { sharedFloats } from "./thread.js";

type Command<Kind extends ChildCommand["kind"]> = Extract<ChildCommand, { readonly kind: Kind }>;

/** All that stands once the job is prepared. */
interface Parts {
  readonly order: JobOrder;
  /** Of the coordinator that gave the order. */
  readonly term: number;
  readonly store: Store;
  readonly exchange: ExchangePump;
  readonly work: ShardWork;
  readonly parameterCount: number;
}

export interface JobChildOptions {
  readonly threads: Threads;
  readonly send: (event: ChildEvent | ChildNews) => void;
  readonly fail: (error: unknown) => void;
  readonly failpoints: readonly Failpoint[];
  readonly variables: Variables;
}

const exchangingMs = 500;

/**
 * Carries out the supervisor's commands for one job. Commands to the device keep their order since
 * its thread answers in order; what takes long runs beside and ends in an event.
 */
export class JobChild {
  readonly #send: (event: ChildEvent | ChildNews) => void;
  readonly #fail: (error: unknown) => void;
  readonly #threads: Threads;
  readonly #compute: Threads["compute"];
  /** Of a test. */
  readonly #faults: Faults | undefined;
  readonly #buffers: Buffers = new BufferPool(sharedFloats);
  readonly #variables: Variables;
  #parts: Parts | undefined;
  #attempt = 0;
  #dealtAtMs = 0;
  readonly #steps = new OpenSteps();
  /** Shards of a state that is not held yet. */
  #work: Command<"compute">[] = [];
  #offered: number | undefined;
  /** Loads begun: an earlier one that is still under way comes to nothing. */
  #loads = 0;
  #collecting:
    { readonly step: number; readonly resolve: (state: Float32Array) => void } | undefined;

  constructor({ threads, send, fail, failpoints, variables }: JobChildOptions) {
    this.#threads = threads;
    this.#compute = threads.compute;
    this.#variables = variables;
    this.#send = send;
    this.#fail = fail;
    setInterval(() => this.#tellExchanging(), exchangingMs);
    if (failpoints.length === 0) return;
    this.#faults = new Faults(failpoints, this.#compute, (message) =>
      send({ kind: "log", level: "warn", message, fields: {} }),
    );
  }

  handle(command: Exclude<ChildCommand, { readonly kind: "close" }>): void {
    switch (command.kind) {
      case "prepare":
        return this.#settle(this.#prepare(command));
      case "load":
        return this.#settle(this.#load(command));
      case "offer":
        return this.#settle(this.#offer(command));
      case "compute":
        this.#work.push(command);
        return this.#update();
      case "deal":
        return this.#deal(command);
      case "apply":
        this.#prepared().work.clear();
        this.#work = [];
        this.#steps.owe(command.step, command.save, command.sumChecksum);
        return this.#update();
      case "save":
        return this.#settle(this.#save(command.what));
    }
  }

  /** Whether the device is at work, or stuck. */
  get isComputing(): boolean {
    return this.#compute.busyMs() >= 0;
  }

  /** Leaves nothing behind on the network. The threads end with the process. */
  async close(): Promise<void> {
    this.#tellCounters();
    await this.#parts?.exchange.close();
  }

  async #prepare({
    order,
    term,
    nats,
    store: storeAddress,
    address,
  }: Command<"prepare">): Promise<void> {
    const { settings, classes, indexDigest } = order;
    const scratch = await temporaryFolder();
    const opening = Promise.all([
      openStore(storeAddress, this.#variables),
      this.#threads.loader.call("open", { indexDigest, store: storeAddress }),
      this.#compute.call("build", {
        model: settings.model,
        classes,
        side: settings.crop,
        microBatch: settings.microBatch,
        mixup: settings.mixup > 0,
        scratch,
      }),
    ]);
    const initial = untrained(order);
    const [store, , { parameterCount }] = await opening;
    const shardSize = settings.batch / settings.shards;
    const shapes = { parameterCount, side: settings.crop, shardSize, classes };
    await this.#faults?.whilePreparing();
    const digest = await probe(this.#threads, shapes, initial);
    const exchange = await this.#connect(order, nats, address);
    const work = new ShardWork({
      order,
      compute: this.#compute,
      loader: this.#threads.loader,
      take: () => this.#buffers.allocate(parameterCount),
      give: (values) => this.#buffers.release(values),
      onShard: (event, gradient) => {
        if (gradient !== undefined) exchange.add(event, event.result.shard, gradient);
        this.#send({ kind: "shard", ...event });
      },
      onFailure: this.#fail,
      faults: this.#faults,
    });
    this.#parts = { order, term, store, exchange, work, parameterCount };
    this.#send({ kind: "prepared", probe: digest });
  }

  #connect(order: JobOrder, nats: NatsAccess, address: string): Promise<ExchangePump> {
    return ExchangePump.start({
      job: order.job,
      workerId: address,
      address,
      buffers: this.#buffers,
      connect: (handlers) => {
        const { url } = nats;
        const files = natsTls(this.#variables, url);
        const tls = files && { files };
        return connectFrames({ ...handlers, url, address, login: () => nats, tls });
      },
      onEvent: (event) => this.#exchanged(event),
      onStatus: (status) => {
        if (status.kind === "closed") this.#fail(new FailureError(status.reason));
        this.#send({ kind: "log", level: "warn", message: statusText(status), fields: {} });
      },
      onFailure: this.#fail,
    });
  }

  async #load({ step, source }: Command<"load">): Promise<void> {
    const { order, store, work, exchange, parameterCount } = this.#prepared();
    const load = (this.#loads += 1);
    // A donor that takes a copy itself has offered a state that was wrong.
    this.#endOffer();
    const attempt = (this.#attempt = order.attempt);
    work.clear();
    this.#work = [];
    this.#endCollection();
    this.#endRounds(this.#steps.load(step));
    if (source.kind === "peer") {
      const state = await new Promise<Float32Array>((resolve) => {
        this.#collecting = { step, resolve };
        exchange.collectState({ attempt, step }, 2 * parameterCount, [source.address]);
      });
      const parameters = state.subarray(0, parameterCount);
      await this.#hold(load, { parameters, momentum: state.subarray(parameterCount) });
      if (load === this.#loads) this.#endCollection();
      return;
    }
    await this.#hold(load, await stateFrom(source, order, store));
  }

  /** Updates that were asked for meanwhile follow on the device. */
  async #hold(load: number, state: State): Promise<void> {
    if (load !== this.#loads) return;
    const step = this.#steps.at;
    const written = this.#compute.call("write", state);
    this.#steps.loaded();
    this.#update();
    const parameterChecksum = await written;
    if (load === this.#loads) this.#send({ kind: "loaded", step, parameterChecksum });
  }

  #endCollection(): void {
    if (this.#collecting === undefined) return;
    const { step } = this.#collecting;
    this.#prepared().exchange.endCollection({ attempt: this.#attempt, step });
    this.#collecting = undefined;
  }

  /** Serves the state of `step` to joiners. The read comes after every update asked for before. */
  async #offer({ step }: Command<"offer">): Promise<void> {
    const { exchange, parameterCount } = this.#prepared();
    assert(step === this.#steps.at, `an offer of state ${step} at state ${this.#steps.at}`);
    if (this.#offered === step) return;
    this.#endOffer();
    const state = sharedFloats(2 * parameterCount);
    const load = this.#loads;
    this.#offered = step;
    await this.#compute.call("read", {
      parameters: state.subarray(0, parameterCount),
      momentum: state.subarray(parameterCount),
    });
    // Another one may have been asked for meanwhile, or it may be over.
    if (this.#offered !== step || load !== this.#loads) return;
    exchange.offerState({ attempt: this.#attempt, step }, state);
  }

  #endOffer(): void {
    if (this.#offered === undefined) return;
    this.#prepared().exchange.endOffer({ attempt: this.#attempt, step: this.#offered });
    this.#offered = undefined;
  }

  #deal({ attempt, step, trial, shardCount, members, followers }: Command<"deal">): void {
    const { exchange, parameterCount } = this.#prepared();
    if (this.#steps.deal(step, followers.length > 0, trial)) {
      this.#dealtAtMs = performance.now();
      exchange.begin({ attempt, step, elements: parameterCount, shardCount });
    }
    // The exchange knows ranks by their address: it is unique for a worker's life.
    const ranks = members.map((member) => ({ ...member, workerId: member.address }));
    exchange.deal({ attempt, step }, ranks, followers, trial);
  }

  #exchanged(event: ExchangeEvent): void {
    if (event.kind === "state-collected") {
      return this.#collecting?.resolve(event.state);
    }
    const { attempt, step, trial, sum } = event;
    const exchangeMs = performance.now() - this.#dealtAtMs;
    const sumChecksum = crc32(bytesOf(sum));
    this.#steps.summed(step, sum, sumChecksum);
    this.#send({ kind: "summed", attempt, step, trial, sumChecksum, exchangeMs });
    this.#update();
  }

  /** Makes the updates whose turn has come, and begins the work on the state that is reached. */
  #update(): void {
    for (let next = this.#steps.next(); next !== undefined; next = this.#steps.next()) {
      this.#settle(this.#apply(next));
    }
    for (const work of this.#work) {
      if (this.#steps.isAt(work.step)) this.#prepared().work.append(work);
    }
    this.#work = this.#work.filter(({ step }) => !this.#steps.isAt(step));
  }

  async #apply({ step, save, sum, wrong }: Update): Promise<void> {
    if (wrong !== undefined) throw new Error(wrong);
    const { order, parameterCount } = this.#prepared();
    const isServed = this.#steps.isFollowed(step);
    if (this.#offered !== undefined && this.#offered < step && !isServed) this.#endOffer();
    const { batch, momentum, weightDecay } = order.settings;
    const update = { count: batch, rate: rate(order.schedule, step), momentum, weightDecay };
    const load = this.#loads;
    const applied = this.#compute.call("apply", { sum, ...update });
    // Asked for in the same breath as the update, so that nothing comes between the two.
    const snapshot = save ? this.#read(step + 1) : undefined;
    const checksum = await applied;
    const parameterChecksum =
      (await this.#faults?.afterApply(step, parameterCount, checksum)) ?? checksum;
    if (load !== this.#loads) return;
    this.#endRounds(this.#steps.applied(step));
    this.#send({ kind: "applied", step: step + 1, parameterChecksum });
    if (snapshot !== undefined) await this.#write("checkpoint", await snapshot);
  }

  async #save(what: "checkpoint" | "weights"): Promise<void> {
    await this.#write(what, await this.#read(this.#steps.at));
  }

  /** A store that takes nothing, as when its disk is full, does not end the job: the coordinator decides. */
  async #write(what: "checkpoint" | "weights", snapshot: Snapshot): Promise<void> {
    const { order, store, term } = this.#prepared();
    const sinceMs = performance.now();
    try {
      const saved =
        what === "weights"
          ? await saveWeightsOf(store, order, snapshot)
          : await saveCheckpointOf(store, order, term, snapshot);
      const seconds = (performance.now() - sinceMs) / 1000;
      this.#send({ kind: "wrote", what, bytes: saved.bytes, seconds });
      this.#send({ kind: "saved", what, ...saved });
    } catch (error) {
      const message = whyNotSaved(what, error);
      if (message === undefined) throw error;
      this.#send({ kind: "save-failed", what, step: snapshot.step, message });
    }
  }

  async #read(step: number): Promise<Snapshot> {
    const { parameterCount } = this.#prepared();
    const parameters = sharedFloats(parameterCount);
    const momentum = sharedFloats(parameterCount);
    const snapshot = { attempt: this.#attempt, step, parameters, momentum };
    await this.#compute.call("read", { parameters, momentum });
    return snapshot;
  }

  /** Gives back what the exchange keeps for these steps, their sums included. */
  #endRounds(steps: readonly number[]): void {
    for (const step of steps) this.#prepared().exchange.end({ attempt: this.#attempt, step });
  }

  #tellExchanging(): void {
    const exchange = this.#parts?.exchange;
    const moment = { attempt: this.#attempt, step: this.#steps.at };
    const natsAgeMs = exchange?.roundTripAgeMs() ?? -1;
    const residentBytes = process.memoryUsage.rss();
    const waitingFor = exchange?.waitingFor(moment) ?? [];
    const unitMs = this.#compute.busyMs();
    this.#send({ kind: "exchanging", waitingFor, natsAgeMs, residentBytes, unitMs });
    this.#tellCounters();
  }

  #tellCounters(): void {
    if (this.#parts === undefined) return;
    this.#send({ kind: "counted", exchange: this.#parts.exchange.counters });
  }

  #prepared(): Parts {
    assert(this.#parts !== undefined, "the job is not prepared");
    return this.#parts;
  }

  #settle(work: Promise<void>): void {
    work.catch(this.#fail);
  }
}
