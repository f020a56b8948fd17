import { CoordinatorSim, type CoordinatorPlace } from "./coordinatorSim.js";
import { Ledger } from "./ledger.js";
import { Frames } from "./frames.js";
import { Holdings } from "./holdings.js";
import { JetStream } from "./jetstream.js";
import { HostClock } from "./process.js";
import { Removals } from "./removals.js";
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
  readonly jetStream: JetStream;
  /** By worker id: what may run there. */
  readonly kinds: readonly WorkerKind[];
  /** By worker id: what runs there now. */
  readonly workers = new Map<string, WorkerSim>();
  readonly coordinators: CoordinatorSim[] = [];
  /** Whose numbers were made wrong. */
  spoilt: WorkerSim | undefined;
  /** By worker id: how often its child was made to fail. With more than three failures it is set aside. */
  readonly failures = new Map<string, number>();
  readonly removals: Removals;
  readonly #holdings = new Holdings();
  #workerLives = 0;

  constructor(seed: number) {
    this.world = new World(seed);
    const late = (): number => this.world.between(300, 9_000);
    const [one, two, three, four] = [1 + (seed % 2), 2, 1 + (seed % 3), 2];
    this.jobs = [
      toyJob("first", { seed, steps: 27, minWorkers: one, priority: 0, submitMs: 300 }),
      toyJob("second", { seed: seed + 1, steps: 12, minWorkers: two, priority: 0, submitMs: 300 }),
      toyJob("third", {
        seed: seed + 2,
        steps: 6,
        minWorkers: three,
        priority: 1,
        submitMs: late(),
      }),
      toyJob("fourth", {
        seed: seed + 3,
        steps: 6,
        minWorkers: four,
        priority: -1,
        submitMs: late(),
      }),
    ];
    this.ledger = new Ledger(this.jobs);
    this.removals = new Removals(this);
    this.frames = new Frames(this.world);
    this.jetStream = new JetStream(this.world, (record) => {
      this.ledger.keeps(record);
    });
    this.kinds = Array.from({ length: 5 }, (_, i) => ({
      workerId: `w${i + 1}`,
      numerics: "toy",
      probe: "sound",
      shardMs: 10 * (1 + this.world.random.below(4)),
      clock: new HostClock(this.world),
    }));
    this.startCoordinator();
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

  /** Starts one more coordinator; it waits as a standby where another reigns. */
  startCoordinator(): void {
    const { world, jetStream, shelf, ledger } = this;
    const name = `c${this.coordinators.length + 1}`;
    world.tell(`${name} is started`);
    const place: CoordinatorPlace = {
      ...{ world, jetStream, shelf, ledger },
      survivors: (job, attempt, step, seeming) => this.#survivors(job, attempt, step, seeming),
      isNewest: (coordinator) => this.reigning()[0] === coordinator,
    };
    this.coordinators.push(new CoordinatorSim(place, name));
  }

  /** Who has the lock, or thinks so, the newest first. */
  reigning(): readonly CoordinatorSim[] {
    return this.coordinators
      .filter(({ fleet }) => fleet !== undefined)
      .toSorted((a, b) => termOf(b) - termOf(a));
  }

  alive(): readonly WorkerSim[] {
    return [...this.workers.values()].filter(({ process }) => process.isAlive);
  }

  /** Whether every job has ended well, with weights and evaluations as they must be, or is removed with all that it had. */
  isDone(): boolean {
    const { gone } = this.removals;
    return (
      this.removals.left() === undefined &&
      this.jobs.every(({ name }) => gone.has(name) || this.jetStream.record(name)?.state === "done")
    );
  }

  /** What must hold at any time. */
  check(): void {
    const children = this.alive().flatMap(({ child }) => (child?.process.isAlive ? child.job : []));
    const problem = this.#holdings.check(
      this.jobs.map(({ name, minWorkers }) => ({
        job: name,
        minWorkers,
        workers: children.filter((job) => job === name).length,
      })),
      this.world.nowMs,
      this.reigning().some(({ process }) => !process.isStopped),
    );
    if (problem !== undefined) this.ledger.mistake(problem);
    for (const { fleet } of this.reigning()) {
      this.ledger.assigns(fleet?.runs.values() ?? []);
      this.ledger.knows(fleet?.options.term ?? 0, fleet?.records);
    }
  }

  checkEnd(): void {
    const left = this.removals.left();
    if (left !== undefined) this.ledger.mistake(left);
    for (const job of this.jobs) {
      const { name, toy, expected } = job;
      if (this.removals.has(name)) continue;
      if (!this.shelf.hasIndex(job.record.indexDigest))
        this.ledger.mistake(`the index of ${name} went with another job`);
      const record = this.jetStream.record(name);
      if (record?.state !== "done") {
        const { state = "gone", reason = "", step = -1 } = record ?? {};
        this.ledger.mistake(`${name} is ${state} at step ${step}: ${reason}`);
        continue;
      }
      this.ledger.ends(record, toy, expected);
      this.ledger.checkLog(job, this.shelf.lines(name));
    }
    for (const life of this.coordinators) {
      const open = [...life.tasks].filter(([, state]) => state === "open");
      if (life.process.isAlive && open.length > 0) {
        this.ledger.mistake(`${open.length} tasks have not ended`);
      }
    }
  }

  /** Who answers at the coordinator's address: rarely one that has been replaced. */
  #answering(): CoordinatorSim | undefined {
    const reigning = this.reigning();
    return this.world.chance(0.3) ? this.world.pick(reigning) : reigning[0];
  }

  /** Whose numbers were made wrong is no survivor. */
  #survivors(job: string, attempt: number, step: number, seeming: boolean): readonly string[] {
    return this.alive().flatMap((worker) => {
      const { child } = worker;
      // Nobody knows yet that its device computes no more, or wrongly.
      const isSound = seeming || (worker !== this.spoilt && child?.isStuck === false);
      return isSound && child?.job === job && child.holds(attempt, step) ? worker.incarnation : [];
    });
  }

  #toyOf(job: string): ToyJob["toy"] {
    const known = this.jobs.find(({ name }) => name === job);
    if (known === undefined) throw new Error(`unknown job ${job}`);
    return known.toy;
  }
}

function termOf({ fleet }: CoordinatorSim): number {
  return fleet?.options.term ?? 0;
}
