// The set-up as a list of steps, in the order in which they build on each other. A step knows
// whether it is done, and which tools it needs when it is not. On a ready machine nothing else runs.

import { join } from "node:path";
import {
  addonName,
  addonStep,
  lockedTfjsVersion,
  readLock,
  readRecord,
  recordFile,
} from "./addon.mjs";
import { buildStep } from "./build.mjs";
import { checkMachine, checkTools, describeMachine, gpuFound } from "./machine.mjs";
import { chooseNatsServer, natsStep } from "./nats.mjs";
import { packagesStep } from "./packages.mjs";
import { chooseS3Server, s3ServerStep } from "./s3server.mjs";
import { chooseTensorflow, tensorflowStep } from "./tensorflow.mjs";
import { toolchainFolder, withLock, writeWhole } from "./toolchain.mjs";

/** Brings the clone at `root` to where the rest can run; `say` gets one line per thing done. */
export async function setUp({ root, env, device, forTests, say }) {
  const machine = describeMachine();
  checkMachine(machine, Boolean(env.BITFLEET_TENSORFLOW));
  const toolchain = toolchainFolder(env);
  const gpu = device === "gpu" || (device === "auto" && gpuFound());
  const lock = readLock(root);
  const tensorflow = chooseTensorflow({ env, toolchain, machine, gpu });
  const nats = chooseNatsServer({ env, toolchain, machine, forTests });
  const s3Server = chooseS3Server({ toolchain });
  const addon = addonName({ tfjsVersion: lockedTfjsVersion(lock), tensorflow, machine });
  const recorded = () => readRecord(root);
  const context = {
    root,
    toolchain,
    machine,
    lock,
    tensorflow,
    nats,
    s3Server,
    addon,
    recorded,
    say,
  };

  const steps = [
    packagesStep(context),
    tensorflowStep(context),
    natsStep(context),
    addonStep(context),
    recordStep(context),
    // The tests compile for themselves, so that a type error is one of their results.
    ...(forTests ? [s3ServerStep(context)] : [buildStep(context)]),
  ];
  const open = steps.filter((step) => !step.ready());
  if (open.length === 0) return;
  await checkTools(open.flatMap((step) => step.tools()));
  await withLock(toolchain, say, async () => {
    for (const step of steps) {
      if (step.ready()) continue;
      await checkTools(step.tools());
      await step.install();
    }
  });
  say(`ready; shared parts are in ${join(toolchain)}`);
}

function recordStep({ root, tensorflow, nats, s3Server, addon, recorded }) {
  const record = {
    tensorflow: tensorflow.folder,
    tfVersion: tensorflow.version,
    gpu: tensorflow.gpu,
    natsServer: nats.program,
    s3Server,
    addon,
  };
  const text = JSON.stringify(record, undefined, 2);
  return {
    tools: () => [],
    ready: () => JSON.stringify(recorded(), undefined, 2) === text,
    install: async () => writeWhole(recordFile(root), `${text}\n`),
  };
}
