import { connect } from "../../src/client/client.js";

/** So many clients that watch one job, in a process of their own. Its arguments: address, job, how many. It answers any message with how many statuses came. */
const [address = "", job = "", count = "0"] = process.argv.slice(2);
let statuses = 0;

process.on("message", () => process.send?.(statuses));
await Promise.all(
  Array.from({ length: Number(count) }, async () => {
    for await (const status of connect({ address }).watch(job))
      statuses += status.name === job ? 1 : 0;
  }),
);
