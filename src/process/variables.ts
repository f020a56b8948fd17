/** The environment variables of a process, or those that it is told in place of them. */
export type Variables = Readonly<Record<string, string | undefined>>;
