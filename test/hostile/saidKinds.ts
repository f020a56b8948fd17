/** What workers say with wrong numbers: to the fleet alone, and to a coordinator's process that trains with another worker. */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { emptyFleet } from "../../src/control/fleet.js";
import type { Fleet } from "../../src/control/fleetState.js";
import type { HeldState, WorkerCommand, WorkerEvent } from "../../src/control/message.js";
import { hasEnded, type JobRecord } from "../../src/control/record.js";
import { openSession } from "../../src/link/grpcClient.js";
import type { Random } from "../../src/plan/random.js";
import { FolderStore } from "../../src/store/folderStore.js";
import { incarnationOf } from "../../src/wire/incarnation.js";
import { jobRecord } from "../../src/wire/jobRecord.js";
import { workerCommand } from "../../src/wire/workerCommand.js";
import { workerEvent } from "../../src/wire/workerEvent.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { ScriptedWorker } from "../support/scriptedWorker.js";
import { FleetDriver, held, record, result, upTo } from "../unit/fleetDriver.js";
import { hold, Refusal, type Kind } from "./kind.js";
import { chance, pick } from "./mutate.js";

const liar = "evil";
const address = incarnationOf(liar);
const fact = { loss: 1, sumChecksum: 7 };
const extremes = [
  ...[0, 1, 2, 3, 4, 8, 9, 17, 999, 1000, 1001, 1002, 65_535, 65_536, 65_537, 2 ** 29, 2 ** 29 + 1],
  ...[
    2 ** 30,
    2 ** 30 + 1,
    2 ** 31 - 2,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 32 - 1,
    -1,
    1e15,
    NaN,
    Infinity,
  ],
];

type Hello = Extract<WorkerEvent, { readonly kind: "hello" }>;

function helloOf(workerId: string, about?: HeldState): Hello {
  return {
    ...{ kind: "hello", workerId, incarnation: incarnationOf(workerId), secret: workerId },
    ...{ host: "host", pid: 1, device: "toy", gpu: false, numerics: "toy", term: 0, held: about },
  };
}

function said(job: string, attempt: number, step: number): readonly WorkerEvent[] {
  const place = { job, attempt };
  const saved = { ...place, step, name: "n", parameterDigest: "d", bytes: 1 };
  return [
    {
      ...{ kind: "report", ...place, generation: 1, step, round: "training", trial: 0 },
      ...{ sumChecksum: 7, parameterChecksum: 100, computeMs: 10, exchangeMs: 10 },
      shards: [result(6), result(7)],
    },
    { kind: "applied", ...place, step, parameterChecksum: 100 },
    { kind: "loaded", ...place, step, parameterChecksum: 100 },
    { kind: "saved", what: "checkpoint", ...saved },
    { kind: "prepared", ...place, probe: "probe" },
  ];
}

/** The value with one to three of its numbers changed. */
function misstated<T>(random: Random, value: T): T {
  const copy = structuredClone(value);
  const places: (readonly [Record<string, unknown>, string])[] = [];
  const walk = (at: unknown): void => {
    if (typeof at !== "object" || at === null) return;
    const fields = at as Record<string, unknown>;
    for (const [name, field] of Object.entries(fields)) {
      if (typeof field === "number") places.push([fields, name]);
      else walk(field);
    }
  };
  walk(copy);
  for (let changes = 1 + random.below(3); changes > 0; changes -= 1) {
    const [fields, name] = pick(random, places);
    const near = Number(fields[name]) + pick(random, [-1, 1, 2]);
    fields[name] = chance(random, 0.3) ? near : pick(random, extremes);
  }
  return copy;
}

interface Scene {
  readonly fleet: Fleet;
  readonly says: readonly WorkerEvent[];
  /** Lets the others go on after the liar is gone, and tells whether they do. */
  readonly goesOn: (driver: FleetDriver) => boolean;
}

/** Three train, one of whom lies. */
function training(): Scene {
  const driver = new FleetDriver();
  for (const id of ["w1", "w2"]) driver.hello(id);
  driver.hello(liar, helloOf(liar));
  driver.happens({ kind: "submit", record: record("job") });
  driver.happens({ kind: "submit", record: record("other") });
  for (const id of ["w1", "w2"]) driver.prepared(id);
  driver.say(liar, { kind: "prepared", job: "job", attempt: 1, probe: "probe" }, address);
  for (const id of ["w1", "w2"]) driver.loaded(id);
  const loaded = { job: "job", attempt: 1, step: 0, parameterChecksum: 100 };
  driver.say(liar, { kind: "loaded", ...loaded }, address);
  const about = held(0, { ranges: [{ first: 6, end: 8 }] });
  return {
    fleet: driver.fleet,
    says: [...said("job", 1, 0), helloOf(liar, about), helloOf(liar, about)],
    goesOn: (after) => {
      for (const id of ["w1", "w2"]) after.report(id, upTo(8));
      return after.record().step >= 1 && !hasEnded(after.record().state);
    },
  };
}

/** A coordinator has started, and waits for those who hold two jobs. */
function recovering(): Scene {
  const at = (name: string, member: string): JobRecord => ({
    ...{ ...record(name, { steps: 20 }), state: "training", attempt: 3, generation: 2, step: 5 },
    members: [member],
  });
  const driver = new FleetDriver([at("job", "w1"), at("other", "w2")]);
  const trail = [4, 5].map((step) => ({ step, ...fact }));
  const about = held(5, { attempt: 3, ranges: [{ first: 0, end: 8 }], trial: 1, trail });
  return {
    fleet: driver.fleet,
    says: [helloOf(liar, about)],
    goesOn: (after) => {
      after.hello("w1", { held: held(6, { attempt: 3 }) });
      return after.record().attempt === 3 && after.record().step === 6;
    },
  };
}

export const saidKind: Kind = {
  name: "said-numbers",
  stages: [
    { name: "bounds of the wire", refusal: /^(?!not believed: )/s },
    { name: "what is known", refusal: /^not believed: / },
  ],
  open: async () => {
    const scenes = [training(), recovering()];
    return {
      feed: (random) => {
        const scene = pick(random, scenes);
        const event = workerEvent.decode(
          workerEvent.encode(misstated(random, pick(random, scene.says))),
        );
        const driver = new FleetDriver();
        driver.fleet = scene.fleet;
        driver.say(liar, event, address);
        checkFleet(scene.fleet, driver);
        const lie = driver.commands.find(
          (command) => command.kind === "close" && command.reason.startsWith("it said "),
        );
        if (lie?.kind !== "close") return;
        hold(scene.goesOn(driver), `the others do not go on after: ${lie.reason}`);
        checkFleet(scene.fleet, driver);
        throw new Refusal(`not believed: ${lie.reason}`);
      },
    };
  },
};

/** All that is to be kept can be read again, all that is told can be heard, and other jobs are as they were. */
function checkFleet(before: Fleet, { fleet, commands }: FleetDriver): void {
  for (const one of fleet.records.values()) {
    const was = before.records.get(one.name);
    hold(
      isDeepStrictEqual(jobRecord.decode(jobRecord.encode(one)), one),
      `${one.name} reads otherwise`,
    );
    hold(one.step <= one.plan.schedule.steps, `${one.name} is at step ${one.step}`);
    hold(one.attempt <= (was?.attempt ?? 0) + 1001, `${one.name} is in attempt ${one.attempt}`);
    hold(one.generation <= (was?.generation ?? 0) + 10, `generation ${one.generation}`);
    hold(one.name === "job" || one === was, `${one.name} is another`);
  }
  for (const command of commands) {
    if (command.kind !== "send") continue;
    workerCommand.decode(
      workerCommand.encode({ term: fleet.options.term, command: command.command }),
    );
  }
  emptyFleet(fleet.options, [...fleet.records.values()], fleet.logged, 0);
}

/** As many liars take turns. */
const liars = 32;

export const saidToCoordinatorKind: Kind = {
  name: "said-to-coordinator",
  stages: [
    { name: "bounds of the wire", refusal: /^(?!it said )/s },
    { name: "what is known", refusal: /^it said / },
  ],
  open: async () => {
    const fleet = await FleetProcesses.start();
    const serves = (): Promise<void> =>
      until("it serves", () => fleet.coordinator.output.includes('"serving"'));
    await serves();
    const store = await FolderStore.open(join(fleet.folder, "home", "store"));
    const at = `127.0.0.1:${fleet.port}`;
    const worker = new ScriptedWorker({ id: "honest", address: at, store });
    const request = {
      ...{ model: "1-1-1-1x0.5", data: "/data", steps: 10_000_000, batch: 8, shards: 4 },
      ...{ resize: 36, crop: 32, rate: 0.03, checkpointEvery: 1000 },
    };
    for (const name of ["honest", "bait"]) await fleet.client.submit({ name, ...request });
    await until("it trains", () => worker.step >= 3);
    return {
      feed: (random) => speak(at, random),
      close: async () => {
        const goesOn = async (): Promise<void> => {
          const { step } = worker;
          await until("the honest worker's job goes on", () => worker.step > step + 2);
        };
        try {
          await goesOn();
          fleet.coordinator.kill("SIGKILL");
          await fleet.coordinator.ended;
          fleet.restartCoordinator();
          await serves();
          await goesOn();
          const jobs = await fleet.client.jobs();
          const states = jobs.map(({ name, state }) => `${name} ${hasEnded(state)}`);
          hold(states.join() === "honest false,bait false", `the jobs are ${states.join()}`);
          hold(!fleet.coordinator.output.includes("cannot be used"), "a record cannot be read");
          const terms = (await store.list("terms/")).map((name) => Number(name.slice(6)));
          hold(Math.max(...terms) < 100_000, `the term is ${terms.join()}`);
        } finally {
          worker.kill();
          await fleet.stop();
        }
      },
    };
  },
};

/** One stream: a hello with wrong numbers, or a right one and then something else with wrong ones. */
async function speak(at: string, random: Random): Promise<void> {
  const id = `evil-${random.below(liars)}`;
  const about = chance(random, 0.7) ? held(3, { job: "bait", attempt: 1 }) : undefined;
  const isHello = chance(random, 0.6);
  const hello = isHello ? misstated(random, helloOf(id, about)) : helloOf(id);
  const more = isHello ? [] : [misstated(random, pick(random, said("bait", 0, 0)))];
  const beat = { kind: "beat", phase: "idle", waitingFor: [], natsAgeMs: -1 } as const;
  const sizes = { shardsDone: 0, residentBytes: 0, childSilentMs: -1, unitMs: -1 };
  const heard: WorkerCommand["kind"][] = [];
  let wake: () => void = () => undefined;
  let closed: string | undefined;
  const session = openSession({
    ...{ address: at, token: "" },
    onCommand: (_, command) => {
      heard.push(command.kind);
      wake();
    },
    onClosed: (reason) => {
      closed = reason;
      wake();
    },
  });
  const until = async (kind: WorkerCommand["kind"]): Promise<void> => {
    while (closed === undefined && !heard.includes(kind))
      await new Promise<void>((resolve) => (wake = resolve));
  };
  session.send(hello);
  await until("welcome");
  for (const event of more) session.send(event);
  // Answered only where what came before it was no reason to end the stream.
  session.send({ ...beat, ...sizes });
  await until("heard");
  session.close();
  // A higher term that was believed ends all streams once.
  if (closed !== undefined && !closed.includes("begins term")) throw new Refusal(closed);
}
