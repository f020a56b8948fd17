/** `bitfleet scale N`: how many workers Kubernetes runs, or where there is none, the `bitfleet up` of the coordinator. */
import type { Command } from "commander";
import { quote } from "../job/cutText.js";
import { plural } from "../job/plural.js";
import { localWorkersMax } from "../job/request.js";
import { ConfigError } from "../job/problem.js";
import { kubernetesAccess, scaleStatefulSet } from "../process/kubernetes.js";
import { replicasMax } from "../process/processSettings.js";
import { isObjectName } from "../process/scalingTarget.js";
import { withClient, withConnection, type ConnectionFlags } from "./connection.js";
import type { Context } from "./context.js";

interface ScaleFlags extends ConnectionFlags {
  readonly statefulset?: string;
  readonly namespace?: string;
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
    );
  withConnection(command).action(async (workers: string, flags: ScaleFlags) => {
    const access =
      flags.coordinator === undefined ? kubernetesAccess(context.variables) : undefined;
    const isKubernetes =
      access !== undefined || flags.statefulset !== undefined || flags.namespace !== undefined;
    const most = isKubernetes ? replicasMax : localWorkersMax;
    if (!/^\d{1,5}$/.test(workers) || Number(workers) > most)
      throw new ConfigError(
        `workers is ${quote(workers, 100)}, not a whole number from 0 to ${most}`,
      );
    if (!isKubernetes) {
      const count = await withClient(flags, context.variables, (client) =>
        client.scale(Number(workers)),
      );
      context.terminal.out(`${count} ${count === 1 ? "worker is" : "workers are"} to run`);
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
    await scaleStatefulSet(access, { name, namespace, replicas: Number(workers) });
    context.terminal.out(`${namespace}/${name} is to have ${plural(Number(workers), "worker")}`);
  });
}

function shaped(flag: string, value: string): string {
  if (!isObjectName(value))
    throw new ConfigError(`${flag} is "${value}", but must be the name of a Kubernetes object`);
  return value;
}
