import { openStore } from "../../src/store/openStore.js";

/** A process that has sent most of a large file, says so, and never ends it. */

async function* endless(): AsyncIterable<Uint8Array> {
  yield Buffer.alloc(40 * 2 ** 20);
  process.stdout.write("sent\n");
  await new Promise((resolve) => setTimeout(resolve, 600_000));
}

const store = await openStore(process.env["BITFLEET_STORE"] ?? "", process.env);
await store.put("a", endless());
