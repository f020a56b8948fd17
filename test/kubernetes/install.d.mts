export declare const kubernetesVersion: string;

/** The folder with etcd, kube-servers, kubectl and helm; installs it where it is not there yet. */
export declare function installKubernetes(
  env: Readonly<Record<string, string | undefined>>,
  say: (line: string) => void,
): Promise<string>;
