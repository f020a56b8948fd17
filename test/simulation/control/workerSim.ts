import { advanceMember, emptyMember, type Member } from "../../../src/control/member.js";
import type {
  ChildEvent,
  MemberAction,
  MemberHappening,
} from "../../../src/control/memberEvent.js";
import type { JobOrder } from "../../../src/control/message.js";
import { ChildSim } from "./childSim.js";
import type { CoordinatorSim } from "./coordinatorSim.js";
import type { Ledger } from "./ledger.js";
import type { Frames } from "./frames.js";
import { Process, type HostClock } from "./process.js";
import type { Shelf } from "./shelf.js";
import { Stream } from "./stream.js";
import type { Toy } from "./toy.js";
import type { World } from "./world.js";

export interface WorkerPlace {
  readonly world: World;
  readonly frames: Frames;
  readonly shelf: Shelf;
  readonly ledger: Ledger;
  readonly toyOf: (job: string) => Toy;
  /** Who answers at the coordinator's address now. */
  readonly findCoordinator: () => CoordinatorSim | undefined;
}

export interface WorkerKind {
  readonly workerId: string;
  readonly numerics: string;
  readonly probe: string;
  readonly shardMs: number;
  readonly clock: HostClock;
}

/** One life of a worker: the supervisor's machine, its stream and its child. */
export class WorkerSim {
  readonly kind: WorkerKind;
  readonly incarnation: string;
  readonly process: Process;
  child: ChildSim | undefined;
  /** The next child dies before it is ready. */
  isDoomed = false;
  /** So many of the next children get stuck as soon as they are to take another worker's state. */
  hangingJoins = 0;
  readonly #place: WorkerPlace;
  #member: Member;
  #stream: Stream | undefined;
  #term = 0;
  /** Of the job that its child is at. */
  #microBatch = 0;

  constructor(place: WorkerPlace, kind: WorkerKind, life: number) {
    this.#place = place;
    this.kind = kind;
    this.incarnation = `${kind.workerId}.${life}`;
    this.process = new Process(place.world, kind.clock);
    const { workerId, numerics } = kind;
    this.#member = emptyMember({
      ...{ workerId, numerics, incarnation: this.incarnation, secret: "" },
      ...{ host: "host", pid: life, device: "toy", gpu: false },
    });
    this.process.every(100, () => {
      this.#handle({ kind: "tick" });
    });
    this.#connectLater();
  }

  get stream(): Stream | undefined {
    return this.#stream;
  }

  kill(): void {
    this.process.kill();
    this.child?.process.kill();
    const { world } = this.#place;
    this.#stream?.cut("worker", 0, world.between(1, 50));
  }

  stopFor(ms: number): void {
    const both = [this.process, this.child?.process].flatMap((one) => one ?? []);
    for (const one of both) one.stop();
    this.#place.world.after(ms, () => {
      for (const one of both) one.goOn();
    });
  }

  crashChild(): void {
    const { child } = this;
    if (child !== undefined) this.#endChild(child, null, "SIGKILL", 5);
  }

  /** False with the smallest micro-batch: before the first commit that would end the job. */
  runOutOfMemory(): boolean {
    const { child } = this;
    if (child === undefined || this.#microBatch === 1) return false;
    child.runOutOfMemory();
    return true;
  }

  /** Something on its way from a coordinator that has been replaced. */
  hearOld(): boolean {
    if (this.#stream === undefined || this.#term < 2) return false;
    const job = this.child?.job ?? "first";
    this.#stream.command(this.#term - 1, { kind: "release", job, reason: "old" });
    return true;
  }

  leave(): void {
    this.process.do(() => {
      this.#handle({ kind: "leave", reason: "it was asked to", atOnce: false });
    });
  }

  #connectLater(): void {
    this.process.after(this.#place.world.between(100, 600), () => {
      const coordinator = this.#place.findCoordinator();
      if (coordinator?.process.isAlive !== true) return this.#connectLater();
      const stream = new Stream(this.#place.world, this.process, coordinator.process);
      this.#stream = stream;
      coordinator.accept(stream);
      stream.onCommand = (term, command) => {
        this.#term = term;
        this.#handle({ kind: "command", term, command });
      };
      stream.onClosed = {
        worker: () => {
          if (this.#stream !== stream) return;
          this.#stream = undefined;
          this.#handle({ kind: "disconnected" });
          this.#connectLater();
        },
        coordinator: () => {
          coordinator.ended(stream, this.kind.workerId, this.incarnation);
        },
      };
      stream.onEvent = (event) => {
        coordinator.hear(stream, this.kind.workerId, this.incarnation, event);
      };
      this.#handle({ kind: "connected" });
    });
  }

  #handle(happening: MemberHappening): void {
    const { nowMs } = this.process.clock;
    const { member, actions } = advanceMember(this.#member, { nowMs, ...happening });
    this.#member = member;
    for (const action of actions) this.#perform(action, happening);
  }

  #perform(action: MemberAction, happening: MemberHappening): void {
    const { world, ledger } = this.#place;
    const isObeying = happening.kind === "command" && action.kind !== "reconnect";
    if (isObeying) ledger.obeys(this.incarnation, this.#term);
    switch (action.kind) {
      case "start-child":
        return this.#startChild(action.order);
      case "to-child": {
        const { child } = this;
        if (child === undefined) return;
        if (action.command.kind === "close") return this.#closeChild(child);
        return child.process.after(1, () => {
          child.handle(action.command);
        });
      }
      case "kill-child":
        if (this.child !== undefined) this.#endChild(this.child, null, "SIGKILL", 5);
        return;
      case "to-coordinator":
        return this.#stream?.send(action.event);
      case "reconnect":
        return this.#stream?.cut("worker", 0, world.between(1, 50));
      case "start-task": {
        const { taskId } = action;
        return this.process.after(world.between(100, 800), () => {
          this.#handle({ kind: "task", event: { kind: "task-done", taskId, result: taskId } });
        });
      }
      case "stop-task":
      case "note":
        return;
      case "quit":
        return this.kill();
    }
  }

  #startChild(order: JobOrder): void {
    this.#microBatch = order.settings.microBatch;
    const { kind, incarnation } = this;
    if (this.child !== undefined) this.#place.ledger.mistake(`${incarnation} has two children`);
    const child = new ChildSim(
      {
        ...this.#place,
        address: incarnation,
        probe: kind.probe,
        arithmetic: `${kind.numerics} ${kind.probe}`,
        ...{ shardMs: kind.shardMs, clock: kind.clock },
        emit: (event) => {
          this.#hearChild(child, event);
        },
      },
      order,
    );
    this.child = child;
    child.hangsAsJoiner = this.hangingJoins > 0;
    this.hangingJoins -= 1;
    if (this.isDoomed) {
      this.isDoomed = false;
      this.process.after(this.#place.world.between(1, 150), () => {
        if (this.child === child) this.crashChild();
      });
    }
    child.process.after(1, () => {
      child.handle({
        ...{ kind: "prepare", order, term: this.#term },
        ...{ nats: { url: "", user: "", secret: "" }, store: "", address: incarnation },
      });
    });
  }

  #hearChild(child: ChildSim, event: ChildEvent): void {
    this.process.after(1, () => {
      if (this.child === child) this.#handle({ kind: "child", event });
    });
  }

  #closeChild(child: ChildSim): void {
    if (child.isStuck) return;
    this.#place.world.after(this.#place.world.between(20, 100), () => {
      child.process.do(() => {
        this.#endChild(child, 0, null, 1);
      });
    });
  }

  #endChild(child: ChildSim, code: number | null, signal: string | null, ms: number): void {
    if (!child.process.isAlive) return;
    child.process.kill();
    this.process.after(ms, () => {
      if (this.child === child) this.child = undefined;
      this.#handle({ kind: "child", event: { kind: "exited", code, signal } });
    });
  }
}
