import { expect, test } from "vitest";
import { statusText } from "../../src/link/frameLink.js";

test("what NATS says of an error is in the log", () => {
  const message = '"PERMISSIONS_VIOLATION"';
  expect(statusText({ kind: "error", message })).toContain(message);
  expect(statusText({ kind: "disconnected" })).toBe("NATS: disconnected");
});
