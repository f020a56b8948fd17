import { advance, emptyFleet } from "../../../src/control/fleet.js";
import {
  fleetTimes,
  type FleetCommand,
  type FleetHappening,
} from "../../../src/control/fleetEvent.js";
import type { Fleet } from "../../../src/control/fleetState.js";
import type { WorkerCommand, WorkerEvent } from "../../../src/control/message.js";
import type { JobRecord } from "../../../src/control/record.js";
import type { Ledger } from "./ledger.js";
import type { Stream } from "./network.js";
import type { Shelf } from "./shelf.js";
import { Process, type World } from "./world.js";

/** Shorter than in earnest where nothing but waiting comes of it. */
const times = {
  ...fleetTimes,
  prepareMs: 20_000,
  gatherMs: 3_000,
  loadMs: 20_000,
  joinMs: 6_000,
  saveMs: 15_000,
  releaseMs: 12_000,
  firstUnitMs: 15_000,
  unitFloorMs: 4_000,
};

/** How often a coordinator looks whether it still holds the lock. */
const lockMs = 2_000;

/** One life of a coordinator: the shell around the fleet. */
export class CoordinatorSim {
  readonly process: Process;
  readonly term: number;
  readonly tasks = new Map<string, "open" | "done" | "failed">();
  /** Dies amid the commands of an event, after so many of them. */
  dieAfter: number | undefined;
  readonly #world: World;
  readonly #shelf: Shelf;
  readonly #ledger: Ledger;
  readonly #accepted = new Set<Stream>();
  /** By incarnation: the newest, which is the one that is heard. */
  readonly #streams = new Map<string, Stream>();
  #fleet: Fleet;

  constructor(world: World, shelf: Shelf, ledger: Ledger) {
    this.#world = world;
    this.#shelf = shelf;
    this.#ledger = ledger;
    this.process = new Process(world);
    shelf.term += 1;
    this.term = shelf.term;
    const options = {
      ...times,
      term: this.term,
      nats: { url: "nats", token: "" },
      store: "/store",
      joinLine: "bitfleet worker --join here",
    };
    this.#fleet = emptyFleet(options, shelf.records, world.nowMs);
    this.process.every(lockMs, () => {
      if (shelf.term !== this.term) this.#stepDown();
    });
    this.process.every(times.tickMs, () => {
      this.handle({ kind: "tick" });
    });
  }

  get fleet(): Fleet {
    return this.#fleet;
  }

  handle(happening: FleetHappening): void {
    if (this.#isOver()) return;
    const { nowMs } = this.#world;
    const event = { ...happening, nowMs, wallMs: 1e12 + nowMs };
    const { fleet, commands } = advance(this.#fleet, event);
    this.#fleet = fleet;
    for (const command of commands) this.#book(command);
    for (const command of commands) {
      if (this.#isOver()) return;
      this.#perform(command);
      this.#dieAmid(commands.length);
    }
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
    if (event.kind === "beat" && !this.#isOver()) stream.command(this.term, { kind: "heard" });
    this.handle({ kind: "worker", workerId, incarnation, event });
  }

  ended(stream: Stream, workerId: string, incarnation: string): void {
    if (this.#streams.get(incarnation) !== stream) return;
    this.#streams.delete(incarnation);
    this.handle({ kind: "disconnected", workerId, incarnation });
  }

  kill(): void {
    this.process.kill();
    for (const stream of this.#accepted) {
      stream.cut("coordinator", 0, this.#world.between(1, 200));
    }
  }

  /** What is decided is decided, even if the coordinator dies before it has told anyone. */
  #book(command: FleetCommand): void {
    if (command.kind !== "log") return;
    this.#world.tell(`[${this.term}] ${command.job}: ${command.message}`);
    this.#ledger.logs(this.term, command.job, command.message, command.fields, this.#world.nowMs);
  }

  #perform(command: FleetCommand): void {
    switch (command.kind) {
      case "send":
        this.#ledger.sends(command.command, this.#keptFor(command.command));
        return this.#streams.get(command.incarnation)?.command(this.term, command.command);
      case "close":
        this.#world.tell(`closes ${command.incarnation}: ${command.reason}`);
        return this.#streams
          .get(command.incarnation)
          ?.cut("coordinator", 0, this.#world.between(1, 50));
      case "record":
        // Whoever has lost the lock ends, before anything is sent that follows from the record.
        if (!this.#shelf.keep(this.term, command.record)) this.#stepDown();
        return;
      case "log":
      case "task-progress":
        return;
      case "task-done":
      case "task-failed":
        if (this.tasks.get(command.taskId) !== "open") {
          this.#ledger.mistake(`${command.taskId} ended twice`);
        }
        this.tasks.set(command.taskId, command.kind === "task-done" ? "done" : "failed");
        return;
      case "discard":
        return this.#shelf.discard(command.job, command.step, command.keep);
    }
  }

  #keptFor(command: WorkerCommand): JobRecord | undefined {
    if (command.kind === "prepare") return this.#shelf.record(command.order.job);
    return command.kind === "round" ? this.#shelf.record(command.job) : undefined;
  }

  #isOver(): boolean {
    return !this.process.isAlive;
  }

  #stepDown(): void {
    this.#world.tell(`coordinator of term ${this.term} finds itself replaced`);
    this.kill();
  }

  #dieAmid(count: number): void {
    if (this.dieAfter === undefined || count < 2) return;
    this.dieAfter -= 1;
    if (this.dieAfter > 0) return;
    this.#world.tell(`coordinator of term ${this.term} dies amid its commands`);
    this.kill();
  }
}
