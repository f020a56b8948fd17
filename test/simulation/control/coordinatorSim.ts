import { CoordinatorLock } from "../../../coordinator/lock.js";
import { Outbox, type Delivery } from "../../../coordinator/outbox.js";
import { Records } from "../../../coordinator/records.js";
import { RemovedJobs } from "../../../coordinator/removedJobs.js";
import { advance, emptyFleet } from "../../../src/control/fleet.js";
import type { FleetCommand, FleetHappening } from "../../../src/control/fleetEvent.js";
import type { Fleet } from "../../../src/control/fleetState.js";
import type { WorkerEvent } from "../../../src/control/message.js";
import { revived, type JobRecord } from "../../../src/control/record.js";
import { FailureError } from "../../../src/job/problem.js";
import { LetGo, type Survivors } from "./letGo.js";
import type { JetStream } from "./jetstream.js";
import type { Ledger } from "./ledger.js";
import { HostClock, Process } from "./process.js";
import { onePerName, openRemoval, removeJob, times, type Reign } from "./reign.js";
import type { Shelf } from "./shelf.js";
import { ShelfStore } from "./shelfStore.js";
import type { Stream } from "./stream.js";
import type { World } from "./world.js";

export interface CoordinatorPlace {
  readonly world: World;
  readonly jetStream: JetStream;
  readonly shelf: Shelf;
  readonly ledger: Ledger;
  /** Workers that live, standing still or not, whose children hold that step of that attempt or a later one. */
  readonly survivors: Survivors;
  /** Whether no other has a higher term. */
  readonly isNewest: (coordinator: CoordinatorSim) => boolean;
}

/** One life of a coordinator: the shell around the fleet, with its lock, records and outbox in earnest. */
export class CoordinatorSim {
  readonly process: Process;
  readonly name: string;
  readonly tasks = new Map<string, "open" | "done" | "failed">();
  /** Dies amid the commands of an event, after so many of them. */
  dieAfter: number | undefined;
  readonly #place: CoordinatorPlace;
  readonly #life = new AbortController();
  readonly #accepted = new Set<Stream>();
  /** By incarnation: the newest, which is the one that is heard. */
  readonly #streams = new Map<string, Stream>();
  /** By job: what is to be copied to the store. */
  readonly #newest = new Map<string, JobRecord>();
  #reign: Reign | undefined;
  #isRaising = false;
  readonly #letGo: LetGo;
  /** By job: the last step whose numbers were found wrong. */
  readonly #doubted = new Map<string, number>();
  /** How often it has looked, and by incarnation when it was told something last. */
  #ticks = 0;
  readonly #heardAt = new Map<string, number>();
  /** Jobs that it has removed. */
  readonly #forgotten = new Set<string>();
  #logTerm = 0;
  #logFreeMs = 0;

  constructor(place: CoordinatorPlace, name: string) {
    this.#place = place;
    this.#letGo = new LetGo(place.survivors);
    this.name = name;
    this.process = new Process(place.world, new HostClock(place.world));
    void this.#begin();
  }

  /** What it knows; undefined while it is a standby. */
  get fleet(): Fleet | undefined {
    return this.process.isAlive ? this.#reign?.fleet : undefined;
  }

  handle(happening: FleetHappening): void {
    const reign = this.#reign;
    if (reign === undefined || this.#isOver()) return;
    const { nowMs, wallMs } = this.process.clock;
    const { fleet, commands } = advance(reign.fleet, { nowMs, wallMs, ...happening });
    reign.fleet = fleet;
    for (const job of fleet.runs.keys()) {
      const { step, doubted } = fleet.records.get(job)?.trial ?? { step: 0, doubted: 0 };
      if (doubted > 0) this.#doubted.set(job, step);
    }
    for (const command of commands) this.#book(reign, command);
    for (const command of commands) {
      if (this.#isOver()) return;
      this.#perform(reign, command);
      this.#dieAmid(commands.length);
    }
  }

  /** Gives the job's last record; FailureError: it is there still, or may be. */
  async remove(job: string): Promise<JobRecord> {
    if (this.#reign === undefined) throw new FailureError("this one is no coordinator");
    return await removeJob(this.#reign, job);
  }

  /** The connection stands even while the process does not look. */
  accept(stream: Stream): void {
    this.#accepted.add(stream);
  }

  hear(stream: Stream, workerId: string, incarnation: string, event: WorkerEvent): void {
    if (event.kind === "hello") {
      const older = this.#streams.get(incarnation);
      if (older !== undefined && older !== stream) older.cut("coordinator", 0, 20);
      this.#streams.set(incarnation, stream);
    }
    if (this.#streams.get(incarnation) !== stream) return;
    this.#heardAt.set(incarnation, this.#ticks);
    const term = this.#reign?.fleet.options.term;
    if (term === undefined || this.#isOver()) return;
    if (event.kind === "beat") stream.command(term, { kind: "heard" });
    if (event.kind === "hello" && event.term > term) {
      void this.#raise(stream, event.term);
      return;
    }
    const origin = { token: "workers", address: workerId };
    this.handle({ kind: "worker", workerId, incarnation, origin, event });
  }

  ended(stream: Stream, workerId: string, incarnation: string): void {
    this.#accepted.delete(stream);
    if (this.#streams.get(incarnation) !== stream) return;
    this.#streams.delete(incarnation);
    this.handle({ kind: "disconnected", workerId, incarnation });
  }

  kill(): void {
    this.process.kill();
    for (const stream of this.#accepted) {
      stream.cut("coordinator", 0, this.#place.world.between(1, 200));
    }
  }

  /** Ends in good order: the next need not wait for the lease to run out. */
  leave(): void {
    const { lock } = this.#reign ?? {};
    this.#reign = undefined;
    if (lock === undefined) return this.kill();
    this.#place.world.unsettle();
    const end = (): void => {
      this.process.do(() => {
        this.kill();
      });
    };
    // Where JetStream does not answer the lease has to run out.
    void lock.release().then(end, end);
  }

  async #begin(): Promise<void> {
    const { world, jetStream } = this.#place;
    const { process } = this;
    const { signal } = this.#life;
    const clock = {
      nowMs: () => process.clock.nowMs,
      sleep: (ms: number, until: AbortSignal) => process.sleep(ms, until),
    };
    const onLost = (reason: string): void => {
      this.#stepDown(reason);
    };
    try {
      const lock = await CoordinatorLock.acquire(jetStream.bucket("lock", process), {
        ...{ holder: this.name, identity: this.name, clock, signal },
        isGone: () => false,
        terms: this.#place.shelf.terms,
        onWait: (holder) => {
          world.tell(`${this.name} waits as a standby for ${holder}`);
        },
        onLost,
      });
      const { records, found } = await Records.open({
        ...{ bucket: jetStream.bucket("jobs", process), codec: jetStream.codec, clock, signal },
        isHolder: () => lock.confirm(),
        onUnwritable: (job, problem) =>
          this.#place.ledger.mistake(`the record of ${job} cannot be kept: ${problem}`),
        onConflict: onLost,
      });
      const store = new ShelfStore(world, this.#place.shelf, process);
      const removed = await RemovedJobs.open(store);
      const there = found.filter(({ name }) => !removed.has(name));
      const copied = this.#lostBy(there);
      const lost = copied.filter(({ name }) => !removed.has(name));
      for (const record of lost) await records.store(record);
      const all = onePerName([...there, ...lost]);
      for (const record of all) this.#copy(record, lock.term);
      const outbox = new Outbox({
        store: async (record) => {
          await records.store(record);
          this.#copy(record, lock.term);
        },
        put: (record) => {
          records.put(record);
        },
        deliver: (delivery) => {
          this.#deliver(delivery);
        },
      });
      const options = {
        ...times,
        term: lock.term,
        nats: { url: "nats", user: "", secret: "" },
        store: "/store",
        joinLine: "bitfleet worker --join here",
      };
      const logged = this.#place.shelf.takeOver(lock.term);
      this.#logTerm = lock.term;
      const fleet = emptyFleet(options, all, logged, process.clock.nowMs);
      const removal = openRemoval({
        ...{ store, removed, lock, records, outbox },
        shelf: this.#place.shelf,
        reign: () => this.#reign,
        drop: (job) => {
          this.handle({ kind: "remove", job });
        },
        onForget: (job) => {
          this.#forgotten.add(job);
          this.#newest.delete(job);
        },
      });
      this.#reign = { lock, records, outbox, removal, fleet };
      for (const { name, indexDigest } of onePerName([...copied, ...found]))
        if (removed.has(name)) void removal.finish(name, indexDigest);
      world.tell(`${this.name} is the coordinator of term ${lock.term}`);
      jetStream.connect(process, {
        onConnection: (isUp) => {
          this.handle({ kind: "nats", isUp });
        },
        onEmptied: () => {
          records.writeAll();
        },
      });
      process.every(times.tickMs, () => {
        this.#ticks += 1;
        this.handle({ kind: "tick" });
        this.#checkLeases();
      });
    } catch (error) {
      this.#stepDown(String(error));
    }
  }

  /** As coordinator/memory.ts does: records that NATS has lost, from their copies in the store. */
  #lostBy(found: readonly JobRecord[]): readonly JobRecord[] {
    const known = new Map(found.map((record) => [record.name, record]));
    return [...this.#place.shelf.copies.values()].flatMap(({ record }) => {
      const lost = revived(record, known.get(record.name));
      if (lost === undefined) return [];
      this.#place.world.tell(`${this.name} takes ${record.name} from the store`);
      return lost;
    });
  }

  #copy(record: JobRecord, term: number): void {
    const { copies } = this.#place.shelf;
    this.#newest.set(record.name, record);
    this.process.after(this.#place.world.between(1, 50), () => {
      const newest = this.#newest.get(record.name);
      if (newest !== undefined && (copies.get(record.name)?.term ?? 0) <= term) {
        copies.set(record.name, { record: newest, term });
      }
    });
  }

  /** Whoever is silent for longer than a lease, while we look, is not counted on. */
  #checkLeases(): void {
    for (const { incarnation, link } of this.fleet?.members.values() ?? []) {
      const ticks = this.#ticks - (this.#heardAt.get(incarnation) ?? this.#ticks);
      if (link.kind !== "connected" || ticks * times.tickMs < times.leaseMs + 2_000) continue;
      this.#place.ledger.mistake(
        `${this.name} counts on ${incarnation}, silent for ${ticks} ticks`,
      );
    }
  }

  /** As the loop does: a worker has obeyed a higher term than the lock ever saw, or another reigns. */
  async #raise(stream: Stream, seen: number): Promise<void> {
    const reign = this.#reign;
    if (this.#isRaising || reign === undefined) return;
    this.#isRaising = true;
    const raised = await reign.lock.raise(seen);
    if ("refusal" in raised) {
      this.#isRaising = false;
      stream.cut("coordinator", 0, 20);
      return;
    }
    const { term } = raised;
    const records = [...reign.fleet.records.values()];
    const options = { ...reign.fleet.options, term };
    const { logged } = reign.fleet;
    reign.fleet = emptyFleet(options, records, logged, this.process.clock.nowMs);
    this.#isRaising = false;
    for (const stream of this.#accepted) stream.cut("coordinator", 0, 20);
  }

  /** What is decided is decided, even if the coordinator dies before it has told anyone. */
  #book({ fleet }: Reign, command: FleetCommand): void {
    const { world, ledger } = this.#place;
    const { term } = fleet.options;
    if (command.kind === "send" && command.command.kind === "commit") {
      ledger.decides(term, command.command, world.nowMs);
    }
    this.#letGo.book(fleet, command);
    if (command.kind !== "log") return;
    world.tell(`[${term}] ${command.job}: ${command.message}`);
    ledger.logs(term, command.job, command.message, command.fields, world.nowMs);
    this.#bookRewind(fleet, command);
  }

  /** What one decides that has been replaced is never kept. */
  #bookRewind(fleet: Fleet, command: Extract<FleetCommand, { readonly kind: "log" }>): void {
    const { job, message, fields } = command;
    if (!message.startsWith("no worker holds step ") || !this.#place.isNewest(this)) return;
    const attempt = (fleet.records.get(job)?.attempt ?? 0) - 1;
    const step = Number(fields["step"]);
    // What somebody made of a step whose numbers were found wrong may be the wrong part of it.
    if (this.#doubted.get(job) === step) return;
    const survivors = this.#letGo.others(job, attempt, step);
    this.#place.ledger.rewinds(job, message, survivors);
  }

  #perform({ outbox }: Reign, command: FleetCommand): void {
    switch (command.kind) {
      case "send":
      case "close":
        return outbox.add(command);
      case "record":
        return outbox.keep(command.record);
      case "log":
        return this.#log(command);
      case "task-progress":
        return;
      case "task-done":
      case "task-failed":
        if (this.tasks.get(command.taskId) !== "open") {
          this.#place.ledger.mistake(`${command.taskId} ended twice`);
        }
        this.tasks.set(command.taskId, command.kind === "task-done" ? "done" : "failed");
        return;
      case "discard":
        void this.#discard(outbox, command);
        return;
    }
  }

  /** As coordinator/loop.ts does. */
  async #discard(
    outbox: Outbox,
    { job, step, keep }: Extract<FleetCommand, { readonly kind: "discard" }>,
  ): Promise<void> {
    await outbox.whenKept(job);
    this.process.do(() => {
      this.#place.shelf.discard(job, step, keep);
    });
  }

  /** Lines become durable one after the other, some time; those on their way die with us. */
  #log({ job, ...line }: Omit<Extract<FleetCommand, { readonly kind: "log" }>, "kind">): void {
    if (job === "" || this.#forgotten.has(job)) return;
    const { world, shelf } = this.#place;
    this.#logFreeMs = Math.max(this.#logFreeMs, world.nowMs) + world.between(0, 8);
    this.process.after(this.#logFreeMs - world.nowMs, () => {
      if (this.#forgotten.has(job)) return;
      if (!shelf.append(this.#logTerm, job, line)) {
        this.#stepDown("another coordinator writes the log");
      }
    });
  }

  #deliver(delivery: Delivery): void {
    const { world, ledger } = this.#place;
    const reign = this.#reign;
    if (reign === undefined || !this.process.isAlive) return;
    const stream = this.#streams.get(delivery.incarnation);
    if (delivery.kind === "close") {
      world.tell(`closes ${delivery.incarnation}: ${delivery.reason}`);
      stream?.cut("coordinator", 0, world.between(1, 50));
      return;
    }
    ledger.sends(delivery.command);
    stream?.command(reign.fleet.options.term, delivery.command);
  }

  /** A call, so that nobody takes the answer for settled. */
  #isOver(): boolean {
    return !this.process.isAlive;
  }

  #stepDown(reason: string): void {
    if (!this.process.isAlive) return;
    this.#place.world.tell(`${this.name} steps down: ${reason}`);
    this.kill();
  }

  #dieAmid(count: number): void {
    if (this.dieAfter === undefined || count < 2) return;
    this.dieAfter -= 1;
    if (this.dieAfter > 0) return;
    this.#place.world.tell(`${this.name} dies amid its commands`);
    this.kill();
  }
}
