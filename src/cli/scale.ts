/** `bitfleet scale N`: how many workers Kubernetes runs, or where there is none, the `bitfleet up` of the coordinator. */
import type { Command } from "commander";
import { plural } from "../job/plural.js";
import { localWorkersMax } from "../job/request.js";
import { ConfigError } from "../job/problem.js";
import { kubernetesAccess, scaleStatefulSet } from "../process/kubernetes.js";
import { replicasMax } from "../process/processSettings.js";
import { isObjectName } from "../process/scalingTarget.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import { printJson, type Context } from "./context.js";
import { wholeNumber } from "./wholeNumber.js";

interface ScaleFlags extends ConnectionFlags {
  readonly statefulset?: string;
  readonly namespace?: string;
  readonly json?: boolean;
}

export function addScale(program: Command, context: Context): void {
  const command = program
    .command("scale")
    .description(
      "set how many workers run: on Kubernetes, or else beside a coordinator that `up` started",
    )
    .argument("<workers>", "how many")
    .option("--statefulset <name>", "of the workers (BITFLEET_SCALE_STATEFULSET)")
    .option(
      "--namespace <name>",
      "where it is, if not where this pod or the kubeconfig's context is",
    )
    .option("--json", "print JSON");
  withConnection(command).action(async (workers: string, flags: ScaleFlags) => {
    const access =
      flags.coordinator === undefined ? kubernetesAccess(context.variables) : undefined;
    const isKubernetes =
      access !== undefined || flags.statefulset !== undefined || flags.namespace !== undefined;
    const most = isKubernetes ? replicasMax : localWorkersMax;
    const wanted = wholeNumber("workers", 0, most)(workers);
    if (!isKubernetes) {
      const count = await withClient(flags, context.variables, (client) => client.scale(wanted));
      if (flags.json === true) printJson(context, { workers: count });
      else context.terminal.out(`${plural(count, "worker")} ${count === 1 ? "is" : "are"} to run`);
      return;
    }
    if (access === undefined)
      throw new ConfigError(
        (context.variables["KUBERNETES_SERVICE_HOST"] ?? "") === ""
          ? "there is no Kubernetes here: this is no pod with a service account, and KUBECONFIG is not set"
          : "this pod has no token of a service account (with the chart's scaleRole: true the coordinator's has one), and KUBECONFIG is not set",
      );
    const name = shaped(
      "--statefulset",
      flags.statefulset ?? context.variables["BITFLEET_SCALE_STATEFULSET"] ?? "",
    );
    const namespace = shaped("--namespace", flags.namespace ?? access.namespace);
    await scaleStatefulSet(access, { name, namespace, replicas: wanted });
    if (flags.json === true) printJson(context, { statefulSet: name, namespace, workers: wanted });
    else context.terminal.out(`${namespace}/${name} is to have ${plural(wanted, "worker")}`);
  });
}

function shaped(flag: string, value: string): string {
  if (!isObjectName(value))
    throw new ConfigError(`${flag} is "${value}", but must be the name of a Kubernetes object`);
  return value;
}
