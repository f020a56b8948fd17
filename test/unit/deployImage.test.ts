import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const dockerfile = readFileSync(join(root, "deploy/image/Dockerfile"), "utf8");
const ignore = readFileSync(join(root, "deploy/image/Dockerfile.dockerignore"), "utf8");

/** The sources of the COPY lines that take from the repository. */
const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap((match) =>
  (match[1] ?? "").split(" "),
);

test("everything that the image copies exists and is let through", () => {
  expect(copied).toContain("package-lock.json");
  const allowed = ignore
    .split("\n")
    .filter((line) => line.startsWith("!"))
    .map((line) => line.slice(1));
  for (const path of copied) {
    expect(existsSync(join(root, path)), path).toBe(true);
    expect(
      allowed.some((entry) => path === entry || path.startsWith(`${entry}/`)),
      path,
    ).toBe(true);
  }
});

test("the image holds every folder that the program is compiled from", () => {
  const config: unknown = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
  const include = typeof config === "object" && config !== null && "include" in config;
  expect(include ? config.include : undefined).toEqual([
    ...copied.filter((path) => /^(src|coordinator|worker)$/.test(path)),
    "test",
  ]);
});

test("the scripts of the image can be run, and the program is not run as root", () => {
  for (const name of ["install.sh", "build.sh"]) {
    expect(statSync(join(root, "deploy/image", name)).mode & 0o111).toBe(0o111);
    expect(dockerfile).toContain(`RUN deploy/image/${name} "\${DEVICE}"`);
  }
  const last = dockerfile.slice(dockerfile.lastIndexOf("\nFROM "));
  expect(/^USER (\d+)/m.exec(last)?.[1]).toBe("10001");
  expect(last).toContain('ENTRYPOINT ["bitfleet"]');
  // The chart starts the image's own.
  expect(last).toMatch(/ln -s .*natsServer.* \/usr\/local\/bin\/nats-server/);
});

test("the image's Node is one that Bitfleet runs on and that gets fixes, named by its content", () => {
  const image = /^ARG NODE_IMAGE=node:(\d+)-bookworm-slim@sha256:[0-9a-f]{64}$/m.exec(dockerfile);
  expect([22, 24]).toContain(Number(image?.[1]));
  const from = [...dockerfile.matchAll(/^FROM (\S+)/gm)].map((match) => match[1]);
  expect(from).toEqual(["${NODE_IMAGE}", "${NODE_IMAGE}"]);
});
