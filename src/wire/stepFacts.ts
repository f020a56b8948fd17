import type { bitfleet } from "#proto";
import type { StepFacts } from "../control/message.js";
import { checksum, count } from "./codec.js";

/** What a step came to. A loss may be any number, also none: it is passed on as it is. */
export function stepFacts(message: bitfleet.v1.StepFacts.$Properties): StepFacts {
  return {
    step: count(message.step, "step"),
    loss: message.loss ?? 0,
    sumChecksum: checksum(message.sumChecksum),
  };
}
