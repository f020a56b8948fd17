// Types for the tests.

export function makeSbom(device: "cpu" | "gpu"): Promise<unknown>;
