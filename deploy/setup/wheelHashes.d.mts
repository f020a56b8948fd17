// Types for the tests.

export const wheelHashes: Readonly<Partial<Record<string, readonly string[]>>>;
