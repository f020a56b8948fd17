// How pip is asked: with the machine's index, mirror, proxy and certificates, and with no other of its settings.

/** Settings of the machine that would have pip refuse, look elsewhere or put things elsewhere. */
const unwanted = [
  ...["FIND_LINKS", "EXTRA_INDEX_URL", "CONSTRAINT", "BUILD_CONSTRAINT", "REQUIREMENT", "PRE"],
  ...[
    "TARGET",
    "PREFIX",
    "ROOT",
    "DRY_RUN",
    "REPORT",
    "NO_BINARY",
    "ONLY_BINARY",
    "UPLOADED_PRIOR_TO",
  ],
].map((name) => `PIP_${name}`);

export function pipEnvironment(env = process.env) {
  const kept = Object.entries(env).filter(([name]) => !unwanted.includes(name));
  // These overrule pip's configuration file too: nothing goes into a Python that is in use.
  return { ...Object.fromEntries(kept), PIP_REQUIRE_VIRTUALENV: "0", PIP_USER: "0" };
}

/** A line of a requirements file: pip takes what has one of these SHA-256 and nothing else. */
export function pinned(requirement, hashes) {
  return [requirement, ...hashes.map((hash) => `--hash=sha256:${hash}`)].join(" ");
}
