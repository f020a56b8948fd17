import { expect, test } from "vitest";
import { WorkerSet, type Kept } from "../../src/cli/workerSet.js";

/** A worker that ends when the test says so. */
class Scripted implements Kept {
  readonly place: number;
  readonly over: Promise<void>;
  end: () => void = () => undefined;
  toldToEnd = false;

  constructor(place: number) {
    this.place = place;
    this.over = new Promise((resolve) => (this.end = resolve));
  }

  stop(): Promise<void> {
    this.toldToEnd = true;
    return this.over;
  }
}

function watched(): {
  readonly set: WorkerSet;
  readonly started: Scripted[];
  readonly places: () => readonly number[];
  readonly told: () => readonly number[];
} {
  const started: Scripted[] = [];
  const set = new WorkerSet((place) => {
    const worker = new Scripted(place);
    started.push(worker);
    return worker;
  });
  const places = (): readonly number[] => started.map(({ place }) => place);
  const told = (): readonly number[] =>
    started.filter(({ toldToEnd }) => toldToEnd).map(({ place }) => place);
  return { set, started, places, told };
}

async function end(worker: Scripted | undefined): Promise<void> {
  worker?.end();
  await worker?.over;
  await Promise.resolve();
}

test("more are started in the next places, and the last ones are told to end", () => {
  const { set, places, told } = watched();
  set.scale(1);
  set.scale(3);
  expect(places()).toEqual([0, 1, 2]);
  set.scale(3);
  expect(places()).toEqual([0, 1, 2]);
  set.scale(1);
  expect(told()).toEqual([1, 2]);
});

test("a place is filled again once the one that leaves it has ended, and not before", async () => {
  const { set, started, places } = watched();
  set.scale(3);
  set.scale(1);
  set.scale(2);
  expect(places()).toEqual([0, 1, 2]);
  await end(started[2]);
  expect(places()).toEqual([0, 1, 2]);
  await end(started[1]);
  expect(places()).toEqual([0, 1, 2, 1]);
});

test("one that ended by itself is not replaced until more are asked for, then in its place", async () => {
  const { set, started, places } = watched();
  set.scale(3);
  await end(started[0]);
  set.scale(1);
  await end(started[2]);
  expect(places()).toEqual([0, 1, 2]);
  set.scale(2);
  expect(places()).toEqual([0, 1, 2, 0]);
});

test("one that ended by itself is not wanted back when another has left", async () => {
  const { set, started, places } = watched();
  set.scale(3);
  set.scale(2);
  await end(started[0]);
  await end(started[2]);
  expect(places()).toEqual([0, 1, 2]);
});

test("stopping waits for all, those that were leaving already among them", async () => {
  const { set, started, told } = watched();
  set.scale(2);
  set.scale(1);
  let isOver = false;
  const stopped = set.stop().then(() => (isOver = true));
  expect(told()).toEqual([0, 1]);
  await end(started[0]);
  expect(isOver).toBe(false);
  await end(started[1]);
  await stopped;
  expect(isOver).toBe(true);
});
