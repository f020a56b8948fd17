import { CoordinatorSim } from "./coordinatorSim.js";
import { Ledger } from "./ledger.js";
import { Frames } from "./network.js";
import { Shelf } from "./shelf.js";
import { toyJob, type ToyJob } from "./toyJob.js";
import { WorkerSim, type WorkerKind } from "./workerSim.js";
import { World } from "./world.js";

/** A fleet with its jobs, its hosts and a coordinator that somebody starts again when it ends. */
export class Scene {
  readonly world: World;
  readonly jobs: readonly ToyJob[];
  readonly ledger: Ledger;
  readonly shelf = new Shelf();
  readonly frames: Frames;
  /** By worker id: what may run there. */
  readonly kinds: readonly WorkerKind[];
  /** By worker id: what runs there now. */
  readonly workers = new Map<string, WorkerSim>();
  coordinator: CoordinatorSim;
  /** One that was replaced and does not know it yet. */
  replaced: CoordinatorSim | undefined;
  readonly lives: CoordinatorSim[] = [];
  /** By worker id: how often its child was made to fail. More than three, and it is set aside. */
  readonly failures = new Map<string, number>();
  #workerLives = 0;

  constructor(seed: number) {
    this.world = new World(seed);
    const minWorkers = 1 + (seed % 2);
    this.jobs = [toyJob("first", seed, 14, minWorkers), toyJob("second", seed + 1, 3, 1)];
    this.ledger = new Ledger(this.jobs);
    this.frames = new Frames(this.world);
    this.kinds = Array.from({ length: 5 }, (_, i) => ({
      workerId: `w${i + 1}`,
      numerics: "toy",
      probe: "sound",
      shardMs: 30 * (1 + this.world.random.below(4)),
    }));
    this.coordinator = this.#newCoordinator();
  }

  /** Starts a worker where none runs. */
  startWorker(kind: WorkerKind): WorkerSim {
    this.#workerLives += 1;
    const worker = new WorkerSim(
      {
        ...{ world: this.world, frames: this.frames, shelf: this.shelf, ledger: this.ledger },
        toyOf: (job) => this.#toyOf(job),
        findCoordinator: () => this.#answering(),
      },
      kind,
      this.#workerLives,
    );
    this.workers.set(kind.workerId, worker);
    return worker;
  }

  restartCoordinator(): void {
    if (this.coordinator.process.isAlive) return;
    this.coordinator = this.#newCoordinator();
  }

  /** A second coordinator takes the lock while the first stands still. */
  replaceCoordinator(): void {
    this.replaced = this.coordinator;
    this.coordinator = this.#newCoordinator();
  }

  alive(): readonly WorkerSim[] {
    return [...this.workers.values()].filter(({ process }) => process.isAlive);
  }

  /** Whether every job has ended well, with weights and evaluations as they must be. */
  isDone(): boolean {
    return this.jobs.every(({ name }) => this.shelf.record(name)?.state === "done");
  }

  checkEnd(): void {
    for (const { name, toy, expected } of this.jobs) {
      const record = this.shelf.record(name);
      if (record?.state !== "done") {
        const { state = "gone", reason = "", step = -1 } = record ?? {};
        this.ledger.mistake(`${name} is ${state} at step ${step}: ${reason}`);
        continue;
      }
      this.ledger.ends(record, toy, expected);
    }
    for (const life of this.lives) {
      const open = [...life.tasks].filter(([, state]) => state === "open");
      if (life.process.isAlive && open.length > 0) {
        this.ledger.mistake(`${open.length} tasks have not ended`);
      }
    }
  }

  /** Who answers at the coordinator's address: rarely the one that was replaced. */
  #answering(): CoordinatorSim {
    const { replaced } = this;
    return replaced?.process.isAlive === true && this.world.chance(0.3)
      ? replaced
      : this.coordinator;
  }

  #newCoordinator(): CoordinatorSim {
    const coordinator = new CoordinatorSim(this.world, this.shelf, this.ledger);
    this.lives.push(coordinator);
    this.world.tell(`a coordinator starts with term ${coordinator.term}`);
    return coordinator;
  }

  #toyOf(job: string): ToyJob["toy"] {
    const known = this.jobs.find(({ name }) => name === job);
    if (known === undefined) throw new Error(`unknown job ${job}`);
    return known.toy;
  }
}
