import type { ChildCommand, ChildEvent } from "../../../src/control/memberEvent.js";
import type { JobOrder, StateSource } from "../../../src/control/message.js";
import { BufferPool } from "../../../src/exchange/bufferPool.js";
import { Exchange, type Moment } from "../../../src/exchange/exchange.js";
import { OpenSteps, type Update } from "../../../src/exchange/openSteps.js";
import { evaluationShards } from "../../../src/plan/evaluation.js";
import { isAudited } from "../../../src/plan/audit.js";
import { flipBit, Spoils } from "./spoils.js";
import type { ChildPlace, Item } from "./childPlace.js";
import { ToyDevice } from "./toyDevice.js";
import { Process } from "./process.js";
import {
  apply,
  checksumOf,
  correctOf,
  elementsOf,
  gradient,
  initialState,
  lossOf,
  type Toy,
  type ToyState,
} from "./toy.js";

type Command<Kind extends ChildCommand["kind"]> = Extract<ChildCommand, { readonly kind: Kind }>;

/** A third of the time after which the exchange asks again. */
const tickMs = 100;

/** A job's process: a device that does one thing after another, and the real exchange. */
export class ChildSim {
  readonly process: Process;
  /** Gets stuck as soon as it is to take another worker's state. */
  hangsAsJoiner = false;
  readonly spoils: Spoils;
  readonly #place: ChildPlace;
  readonly #order: JobOrder;
  readonly #toy: Toy;
  readonly #exchange: Exchange;
  readonly #device: ToyDevice;
  #state: ToyState | undefined;
  /** Of the state held. */
  #step = 0;
  readonly #steps = new OpenSteps();
  #work: Command<"compute">[] = [];
  /** What the parameters were when they were last written. */
  #written: number | undefined;
  #dealtMs = 0;
  #offered: number | undefined;
  #load = 0;
  #takesPart = false;
  /** Shards put on the list before the last time that it was cleared are computed in vain. */
  #list = 0;

  constructor(place: ChildPlace, order: JobOrder) {
    this.#place = place;
    this.#order = order;
    this.#toy = place.toyOf(order.job);
    this.process = new Process(place.world, place.clock);
    this.#device = new ToyDevice(this.process, place.clock);
    this.spoils = new Spoils((line) => place.world.tell(`${line} on ${place.address}`));
    this.#exchange = new Exchange({
      job: order.job,
      self: place.address,
      address: place.address,
      buffers: new BufferPool(),
      chunkElements: 8,
      retryMs: 300,
      unitElements: 4,
    });
    const { clock } = place;
    place.frames.listen(place.address, {
      process: this.process,
      take: (frame) => {
        this.#exchange.receive(frame, clock.nowMs);
        this.#pump();
      },
      reconnected: () => {
        this.#exchange.reconnected(clock.nowMs);
        this.#pump();
      },
    });
    this.process.every(tickMs, () => {
      this.#exchange.tick(clock.nowMs);
      this.#pump();
    });
    this.process.every(500, () => {
      this.#tellExchanging();
    });
  }

  get job(): string {
    return this.#order.job;
  }

  /** Computes nothing any more, and looks alive. */
  get isStuck(): boolean {
    return this.#device.isStuck;
  }

  getStuck(): void {
    this.#device.isStuck = true;
  }

  /** Whether it has that state or a later one. One that only follows says nothing of its state. */
  holds(attempt: number, step: number): boolean {
    if (!this.process.isAlive || !this.#takesPart || this.#device.hasFailed) return false;
    return this.#state !== undefined && this.#order.attempt === attempt && this.#step >= step;
  }

  handle(command: ChildCommand): void {
    switch (command.kind) {
      case "prepare":
        return this.process.after(this.#place.world.between(100, 400), () => {
          if (!this.isStuck) this.#emit({ kind: "prepared", probe: this.#place.probe });
        });
      case "load":
        return this.#begin(command.step, command.source);
      case "offer":
        return this.#enqueue(5, () => this.#offer(command.step));
      case "compute":
        this.#takesPart ||= command.shards.length > 0;
        this.#work.push(command);
        return this.#update();
      case "deal":
        return this.#deal(command);
      case "apply":
        this.#clear();
        this.#work = [];
        this.#steps.owe(command.step, command.save, command.sumChecksum);
        return this.#update();
      case "save":
        return this.#enqueue(5, () => this.#save(command.what));
      case "close":
        return;
    }
  }

  runOutOfMemory(): void {
    this.#giveUp("out of memory", "memory");
  }

  /** A bit of its parameters flips. Whether it has any. */
  flip(): boolean {
    if (this.#state === undefined) return false;
    const parameters = this.#state.parameters.slice();
    flipBit(parameters);
    this.#state = { ...this.#state, parameters };
    return true;
  }

  #begin(step: number, source: StateSource): void {
    this.#clear();
    this.#work = [];
    this.#endRounds(this.#steps.load(step));
    if (this.#collecting !== undefined) this.#exchange.endCollection(this.#collecting);
    this.#collecting = undefined;
    this.#load += 1;
    this.#takesPart = false;
    const load = this.#load;
    const { world, shelf } = this.#place;
    const done = (state: ToyState): void => {
      if (load !== this.#load) return;
      this.#enqueue(10, () => this.#hold(load, step, state));
      this.#steps.loaded();
      this.#update();
    };
    if (source.kind === "peer") {
      if (this.hangsAsJoiner) this.getStuck();
      const moment = { attempt: this.#order.attempt, step };
      this.#collected = (values) => {
        const elements = elementsOf(this.#toy);
        const [parameters, momentum] = [values.slice(0, elements), values.slice(elements)];
        this.#exchange.endCollection(moment);
        this.#collecting = undefined;
        done({ parameters, momentum });
      };
      this.#collecting = moment;
      this.#exchange.collectState(moment, 2 * elementsOf(this.#toy), [source.address]);
      this.#pump();
      return;
    }
    this.process.after(world.between(50, 300), () => {
      const kept =
        source.kind === "initial" ? initialState(this.#toy) : shelf.get(this.#order.job, step);
      if (kept !== undefined) return done(kept);
      this.#place.ledger.lacks(this.#order, step, this.#place.address);
      this.#emit({ kind: "failed", cause: "checkpoint", message: `no checkpoint of step ${step}` });
    });
  }

  #collecting: Moment | undefined;
  #collected: (values: Float32Array) => void = () => undefined;

  #hold(load: number, step: number, state: ToyState): void {
    if (load !== this.#load) return;
    this.#state = state;
    this.#step = step;
    this.#place.ledger.holds(this.#order, step, state, this.#place.address);
    const parameterChecksum = (this.#written = checksumOf(state.parameters));
    this.#emit({ kind: "loaded", step, parameterChecksum });
  }

  #offer(step: number): void {
    if (this.#state === undefined || this.#step !== step) {
      return this.#fail(`an offer of state ${step} at state ${this.#step}`);
    }
    if (this.#hasChanged(this.#state)) return;
    const { attempt } = this.#order;
    if (this.#offered === step) return;
    this.#endOffer();
    this.#offered = step;
    const { parameters, momentum } = this.#state;
    this.#exchange.offerState({ attempt, step }, Float32Array.of(...parameters, ...momentum));
    this.#pump();
  }

  #endOffer(): void {
    if (this.#offered === undefined) return;
    this.#exchange.endOffer({ attempt: this.#order.attempt, step: this.#offered });
    this.#offered = undefined;
  }

  #compute({ attempt, step, round, shards, checks, first }: Command<"compute">): void {
    if (first) this.#clear();
    const list = this.#list;
    const { world, shardMs } = this.#place;
    const all = [...shards.map((shard) => ({ shard, number: 0 })), ...checks];
    for (const { shard, number: check } of all) {
      const ms = Math.max(1, Math.round(shardMs * (0.7 + 0.6 * world.random.float())));
      const work = (): void => {
        if (list === this.#list) this.#shard({ attempt, step, round, shard, check }, ms);
      };
      this.#enqueue(ms, work, true);
    }
  }

  #shard(item: Item, computeMs: number): void {
    const { attempt, step, round, shard, check } = item;
    const state = this.#state;
    if (state === undefined || this.#step !== step) {
      return this.#fail(`a shard of step ${step} at state ${this.#step}`);
    }
    const values = gradient(this.#toy, state, step, shard);
    const got =
      round === "training"
        ? this.#trained(state, step, item, values)
        : this.spoils.evaluated(this.#evaluated(state, shard), item);
    const result = { shard, inputChecksum: shard, check, ...got };
    const isLast = !this.#device.hasShards;
    const parameterChecksum = isLast ? checksumOf(state.parameters) : undefined;
    this.#emit({ kind: "shard", attempt, step, round, computeMs, result, parameterChecksum });
    if (round === "evaluation" || check > 0) return;
    this.#exchange.round({ attempt, step })?.add(shard, values);
    this.#pump();
  }

  #trained(state: ToyState, step: number, item: Item, values: Float32Array) {
    const { ledger, arithmetic } = this.#place;
    ledger.computes(this.#order, step, item.shard, arithmetic);
    const isCompared = item.check > 0 || isAudited(this.#order.settings, step, item.shard);
    const { finite } = this.spoils.gradient(values, item, isCompared);
    const gradientChecksum = isCompared ? checksumOf(values) : 0;
    const loss = lossOf(this.#toy, state, step, item.shard);
    return { loss, count: this.#toy.shardSize, correct: 0, finite, gradientChecksum };
  }

  #evaluated(state: ToyState, shard: number) {
    const slice = evaluationShards(this.#order.validationExamples)[shard];
    const count = slice === undefined ? 0 : slice.end - slice.first;
    const loss = lossOf(this.#toy, state, 1000 + this.#step, shard);
    const correct = correctOf(this.#toy, state, shard, count);
    return { loss, count, correct, finite: true, gradientChecksum: 0 };
  }

  #deal({ attempt, step, trial, shardCount, members, followers }: Command<"deal">): void {
    const moment = { attempt, step };
    this.spoils.ranks = members.length;
    this.#dealtMs = this.#place.clock.nowMs;
    const elements = elementsOf(this.#toy);
    if (this.#steps.deal(step, followers.length > 0, trial)) {
      this.#exchange.begin({ elements, shardCount, ...moment });
    }
    const ranks = members.map((member) => ({ ...member, workerId: member.address }));
    this.#exchange.round(moment)?.deal(ranks, followers, trial);
    this.#pump();
  }

  #update(): void {
    for (let next = this.#steps.next(); next !== undefined; next = this.#steps.next()) {
      this.#apply(next);
    }
    for (const work of this.#work) {
      if (this.#steps.isAt(work.step)) this.#compute(work);
    }
    this.#work = this.#work.filter(({ step }) => !this.#steps.isAt(step));
  }

  #apply({ step, save, sum, wrong }: Update): void {
    if (wrong !== undefined) return this.#giveUp(wrong);
    const isServed = this.#steps.isFollowed(step);
    if (this.#offered !== undefined && this.#offered < step && !isServed) this.#endOffer();
    const load = this.#load;
    this.#enqueue(8, () => {
      if (load !== this.#load) return;
      if (this.#state === undefined || this.#step !== step) {
        return this.#fail(`applies step ${step} at state ${this.#step}`);
      }
      if (this.#hasChanged(this.#state)) return;
      const { ledger, address } = this.#place;
      ledger.applies(this.#order, step, sum, address);
      this.#state = apply(this.#toy, this.#state, sum);
      this.#step = step + 1;
      ledger.holds(this.#order, this.#step, this.#state, address);
      this.#endRounds(this.#steps.applied(step));
      const parameterChecksum = (this.#written = checksumOf(this.#state.parameters));
      this.#emit({ kind: "applied", step: this.#step, parameterChecksum });
      if (save) this.#save("checkpoint");
    });
  }

  #save(what: "checkpoint" | "weights"): void {
    const state = this.#state;
    if (state === undefined) return this.#fail("told to save without a state");
    if (this.#hasChanged(state)) return;
    const step = this.#step;
    const { job } = this.#order;
    const { world, shelf } = this.#place;
    this.process.after(world.between(50, 500), () => {
      if (what === "checkpoint") shelf.put(job, step, state);
      const parameterDigest = String(checksumOf(state.parameters));
      this.#emit({ kind: "saved", what, step, parameterDigest, bytes: 1 });
    });
  }

  /** As in a worker's compute thread: what broke in memory is neither built on nor given on. */
  #hasChanged({ parameters }: ToyState): boolean {
    if (checksumOf(parameters) === this.#written) return false;
    this.#giveUp("its parameters changed in memory");
    return true;
  }

  #giveUp(message: string, cause: "error" | "memory" = "error"): void {
    this.#emit({ kind: "failed", cause, message });
    this.#device.fail();
  }

  #endRounds(steps: readonly number[]): void {
    for (const step of steps) this.#exchange.end({ attempt: this.#order.attempt, step });
  }

  #tellExchanging(): void {
    const moment = { attempt: this.#order.attempt, step: this.#steps.at };
    const waitingFor = this.#exchange.round(moment)?.waitingFor ?? [];
    const natsAgeMs = this.#place.frames.silentMs(this.#place.address);
    const { unitMs } = this.#device;
    this.#emit({ kind: "exchanging", waitingFor, natsAgeMs, residentBytes: 1, unitMs });
  }

  #fail(message: string): void {
    this.#place.ledger.mistake(`${this.#place.address}: ${message}`);
    this.#emit({ kind: "failed", cause: "error", message });
  }

  #clear(): void {
    this.#list += 1;
    this.#device.dropShards();
  }

  #enqueue(ms: number, run: () => void, isShard = false): void {
    this.#device.enqueue({ ms, run, isShard });
  }

  #pump(): void {
    const { clock, frames } = this.#place;
    const { nowMs } = clock;
    for (let out = this.#exchange.next(nowMs); out; out = this.#exchange.next(nowMs)) {
      frames.send(out.to, out.frame);
    }
    for (const event of this.#exchange.events()) {
      if (event.kind === "state-collected") {
        this.#collected(event.state);
        continue;
      }
      const { attempt, step, trial } = event;
      const sum = this.spoils.copyOf(event.sum, `the sum of step ${step}`);
      const exchangeMs = nowMs - this.#dealtMs;
      const sumChecksum = checksumOf(sum);
      this.#steps.summed(step, sum, sumChecksum);
      this.#emit({ kind: "summed", attempt, step, trial, sumChecksum, exchangeMs });
      this.#update();
    }
  }

  #emit(event: ChildEvent): void {
    this.#place.emit(event);
  }
}
