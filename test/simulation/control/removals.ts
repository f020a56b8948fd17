import { hasEnded } from "../../../src/control/record.js";
import { reasonOf } from "../../../src/job/problem.js";
import type { CoordinatorSim } from "./coordinatorSim.js";
import type { Scene } from "./scene.js";

/**
 * The jobs that somebody wants removed. Whoever has no answer, or is refused since something of the job was still under way,
 * asks again until it is gone, and resumes it no more.
 */
export class Removals {
  readonly #scene: Scene;
  readonly #asked = new Set<string>();
  /** By job: who has not answered yet. */
  readonly #open = new Map<string, CoordinatorSim>();
  readonly #gone = new Set<string>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  /** Jobs whose removal was answered. */
  get gone(): ReadonlySet<string> {
    return this.#gone;
  }

  get isUnderWay(): boolean {
    return this.#asked.size > 0;
  }

  has(job: string): boolean {
    return this.#asked.has(job) || this.#gone.has(job);
  }

  /** Asks for a job that the coordinator knows, and for one that has not ended in vain. */
  ask(coordinator: CoordinatorSim, job: string): void {
    const { world, ledger, jobs } = this.#scene;
    const { state } = coordinator.fleet?.records.get(job) ?? {};
    if (state === undefined) return;
    const mayGo = hasEnded(state);
    if (mayGo) this.#asked.add(job);
    this.#open.set(job, coordinator);
    const answered = (): void => {
      if (this.#open.get(job) === coordinator) this.#open.delete(job);
    };
    world.tell(`${coordinator.name} is asked to remove ${job}, which is ${state}`);
    coordinator.remove(job).then(
      (record) => {
        answered();
        world.tell(`${job} is removed`);
        if (!mayGo) ledger.mistake(`${job} was removed, and it was ${state}`);
        const known = jobs.find(({ name }) => name === job);
        if (record.state === "done" && known !== undefined)
          ledger.ends(record, known.toy, known.expected);
        this.#end(coordinator, job);
      },
      (error: unknown) => {
        answered();
        world.tell(`${job} is not removed: ${reasonOf(error)}`);
      },
    );
    // Whoever is refused hears of it now.
    world.unsettle();
  }

  askAgain(): void {
    const [coordinator] = this.#scene.reigning();
    if (coordinator === undefined || coordinator.process.isStopped) return;
    for (const job of this.#asked) {
      // While the connection stands an answer may come.
      if (this.#open.get(job)?.process.isAlive === true) continue;
      if (coordinator.fleet?.records.has(job) === true) this.ask(coordinator, job);
      // What the one before had begun this one ends, and says that there is no such job.
      else if (this.#scene.jetStream.record(job) === undefined) this.#end(coordinator, job);
    }
  }

  /** Whether nothing of what was to go is left anywhere, or the first thing that is. */
  left(): string | undefined {
    const { jetStream, shelf } = this.#scene;
    for (const job of this.#asked) return `${job} was to be removed, and is still there`;
    for (const job of this.#gone) {
      if (jetStream.record(job) !== undefined)
        return `NATS has a record of ${job}, which is removed`;
      const worker = this.#scene.alive().find(({ child }) => child?.job === job);
      if (worker !== undefined) return `${worker.incarnation} is at ${job}, which is removed`;
      const [file] = shelf.leftOf(job);
      if (file !== undefined) return `the store has ${file}, and ${job} is removed`;
    }
    return undefined;
  }

  #end({ fleet }: CoordinatorSim, job: string): void {
    this.#asked.delete(job);
    this.#gone.add(job);
    this.#scene.ledger.removes(job, fleet?.options.term ?? 0);
  }
}
