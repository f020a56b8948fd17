import type { FleetDriver } from "./fleetDriver.js";

/** Brings the job under way, of three steps on workers a and b, to its end: 250 ms a step, a checkpoint after the second. */
export function trainToEnd(driver: FleetDriver): void {
  for (let step = 1; step <= 3; step += 1) {
    driver.nowMs += 250;
    driver.reportAll();
    for (const worker of ["a", "b"]) driver.applied(worker, step);
    if (step === 2) driver.saved("a", "checkpoint", 2);
  }
  driver.saved("a", "weights", 3);
  for (const worker of ["a", "b"]) driver.released(worker);
}
