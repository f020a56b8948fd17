#!/usr/bin/env node
import { graceSecondsMax } from "../process/processSettings.js";
import { run } from "../process/shutdown.js";
import { runProgram } from "./program.js";
import { processTerminal } from "./terminal.js";

/** Parts that are started here are ended in their own time, which the longest grace of a worker bounds. */
const graceMs = 1000 * graceSecondsMax + 60_000;

run(
  ({ signal }) =>
    runProgram(process.argv.slice(2), {
      terminal: processTerminal(process.env, process.stdout, process.stderr),
      variables: process.env,
      signal,
    }),
  { debug: process.env["LOG_LEVEL"] === "debug", graceMs },
);
