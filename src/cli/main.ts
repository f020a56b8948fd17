#!/usr/bin/env node
import { run } from "../process/shutdown.js";
import { runProgram } from "./program.js";
import { processTerminal } from "./terminal.js";

/** Long enough for `up` to stop its workers and then its coordinator. */
const graceMs = 60_000;

run(
  ({ signal }) =>
    runProgram(process.argv.slice(2), {
      terminal: processTerminal(process.env, process.stdout, process.stderr),
      variables: process.env,
      signal,
    }),
  { debug: process.env["LOG_LEVEL"] === "debug", graceMs },
);
