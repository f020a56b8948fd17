// Types for the tests.

export const tensorflowVersion: string;
export const natsServerVersion: string;
export const helmLayer: string;
export const cudaVersions: Readonly<Record<string, string>>;
