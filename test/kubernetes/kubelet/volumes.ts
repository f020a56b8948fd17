import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import type { Api } from "../api.js";
import type { Claim, ConfigMap, KeyItem, Pod, Secret, Volume, VolumeSource } from "../objects.js";
import { fieldOf } from "./environment.js";

type Files = ReadonlyMap<string, Buffer>;

const fileMode = 0o644;

/** Reads maps and secrets, and makes the folders that a pod's volumes are. */
export class Volumes {
  readonly #api: Api;
  readonly #claims: string;

  /** `claims`: the folder of all persistent volumes. */
  constructor(api: Api, claims: string) {
    this.#api = api;
    this.#claims = claims;
  }

  async configMap(namespace: string, name: string): Promise<Files> {
    const path = `/api/v1/namespaces/${namespace}/configmaps/${name}`;
    const { data = {}, binaryData = {} } = await this.#api.get<ConfigMap>({ path });
    return new Map([...decoded(data, "utf8"), ...decoded(binaryData, "base64")]);
  }

  async secret(namespace: string, name: string): Promise<Files> {
    const path = `/api/v1/namespaces/${namespace}/secrets/${name}`;
    return new Map(decoded((await this.#api.get<Secret>({ path })).data ?? {}, "base64"));
  }

  /** The folder of one volume; all of its files are there when it returns. */
  async prepare(pod: Pod, podIP: string, volume: Volume, folder: string): Promise<string> {
    if (volume.persistentVolumeClaim !== undefined) {
      const { claimName } = volume.persistentVolumeClaim;
      const path = `/api/v1/namespaces/${pod.metadata.namespace}/persistentvolumeclaims/${claimName}`;
      const { spec } = await this.#api.get<Claim>({ path });
      if (spec.volumeName === undefined) throw new Error(`${claimName} is not bound yet`);
      return this.#owned(pod, join(this.#claims, spec.volumeName));
    }
    const target = this.#owned(pod, join(folder, volume.name));
    if (volume.emptyDir !== undefined) return target;
    const { sources, defaultMode } = volume.projected ?? { sources: [volume] };
    for (const source of sources) await this.#fill(pod, podIP, source, target, defaultMode);
    return target;
  }

  async #fill(
    pod: Pod,
    podIP: string,
    source: VolumeSource,
    target: string,
    mode?: number,
  ): Promise<void> {
    const { namespace } = pod.metadata;
    if (source.configMap !== undefined) {
      const { name, items, defaultMode } = source.configMap;
      const files = await this.configMap(namespace, name);
      this.#write(pod, target, chosen(files, items), defaultMode ?? mode);
    }
    if (source.secret !== undefined) {
      const { secretName, name, items, defaultMode } = source.secret;
      const files = await this.secret(namespace, secretName ?? name ?? "");
      this.#write(pod, target, chosen(files, items), defaultMode ?? mode);
    }
    if (source.serviceAccountToken !== undefined) {
      const token = Buffer.from(await this.#token(pod, source.serviceAccountToken));
      this.#write(pod, target, new Map([[source.serviceAccountToken.path, token]]), mode);
    }
    for (const { path, fieldRef } of source.downwardAPI?.items ?? []) {
      const value = Buffer.from(fieldOf(pod, podIP, fieldRef?.fieldPath ?? ""));
      this.#write(pod, target, new Map([[path, value]]), source.downwardAPI?.defaultMode ?? mode);
    }
  }

  /** A token of the pod's service account that ends with the pod. */
  async #token(
    pod: Pod,
    { audience, expirationSeconds = 3600 }: NonNullable<VolumeSource["serviceAccountToken"]>,
  ): Promise<string> {
    const { namespace, name, uid } = pod.metadata;
    const account = pod.spec.serviceAccountName ?? "default";
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`;
    const { status } = await this.#api.post<{ readonly status: { readonly token: string } }>(
      { path },
      {
        spec: {
          expirationSeconds,
          ...(audience === undefined ? {} : { audiences: [audience] }),
          boundObjectRef: { kind: "Pod", apiVersion: "v1", name, uid },
        },
      },
    );
    return status.token;
  }

  #owned(pod: Pod, folder: string): string {
    mkdirSync(folder, { recursive: true });
    const group = pod.spec.securityContext?.fsGroup;
    if (group !== undefined) chownSync(folder, 0, group);
    chmodSync(folder, group === undefined ? 0o777 : 0o2775);
    return folder;
  }

  #write(pod: Pod, folder: string, files: Files, mode = fileMode): void {
    const group = pod.spec.securityContext?.fsGroup;
    for (const [name, content] of files) {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
      // As a kubelet does: the pod's group may read what is the pod's.
      if (group !== undefined) chownSync(path, 0, group);
      chmodSync(path, group === undefined ? mode : mode | 0o440);
    }
  }
}

function decoded(
  data: Readonly<Record<string, string>>,
  encoding: BufferEncoding,
): [string, Buffer][] {
  return Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)]);
}

function chosen(files: Files, items: readonly KeyItem[] | undefined): Files {
  if (items === undefined) return files;
  return new Map(
    items.map(({ key, path }) => {
      const content = files.get(key);
      if (content === undefined) throw new Error(`there is no key ${key}`);
      return [path, content];
    }),
  );
}
