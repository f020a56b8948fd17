import type { ChildEvent } from "../../../src/control/memberEvent.js";
import type { RoundKind } from "../../../src/control/message.js";
import type { Ledger } from "./ledger.js";
import type { Frames } from "./frames.js";
import type { HostClock } from "./process.js";
import type { Shelf } from "./shelf.js";
import type { Toy } from "./toy.js";
import type { World } from "./world.js";

/** Where a job's process runs. */
export interface ChildPlace {
  readonly world: World;
  readonly frames: Frames;
  readonly shelf: Shelf;
  readonly ledger: Ledger;
  readonly address: string;
  readonly toyOf: (job: string) => Toy;
  readonly probe: string;
  readonly arithmetic: string;
  /** Time for one shard. */
  readonly shardMs: number;
  readonly clock: HostClock;
  readonly emit: (event: ChildEvent) => void;
}

/** A shard to be computed. */
export interface Item {
  readonly attempt: number;
  readonly step: number;
  readonly round: RoundKind;
  readonly shard: number;
  readonly check: number;
}
