import { request } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

/** A path of the Kubernetes API and, for the compiler only, what lies there. */
export interface Resource<T> {
  readonly path: string;
  readonly of?: T;
}

export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: T;
}

export class ApiError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(`${status}: ${message}`);
    this.status = status;
  }
}

interface Listed<T> {
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly T[];
}

interface Named {
  readonly metadata: { readonly uid: string };
}

const requestMs = 30_000;

/** The API server by plain HTTPS: what a kubelet needs of it. */
export class Api {
  readonly #port: number;
  readonly #token: string;
  readonly #ca: string;

  constructor(port: number, token: string, ca: string) {
    this.#port = port;
    this.#token = token;
    this.#ca = ca;
  }

  get<T>(resource: Resource<T>): Promise<T> {
    return this.#json("GET", resource);
  }

  post<T>(resource: Resource<T>, body: unknown): Promise<T> {
    return this.#json("POST", resource, body);
  }

  /** A merge patch: what is named is replaced, lists as a whole. */
  patch<T>(resource: Resource<T>, body: unknown): Promise<T> {
    return this.#json("PATCH", resource, body, "application/merge-patch+json");
  }

  remove(path: string, body: unknown = {}): Promise<unknown> {
    return this.#json<unknown>("DELETE", { path }, body);
  }

  /** All that is there and then each change, until the signal. After a break it lists anew, and tells what is gone. */
  async watch<T extends Named>(
    list: Resource<T>,
    tell: (event: WatchEvent<T>) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const known = new Map<string, T>();
    const note = (event: WatchEvent<T>): void => {
      if (event.type === "DELETED") known.delete(event.object.metadata.uid);
      else known.set(event.object.metadata.uid, event.object);
      tell(event);
    };
    while (!signal.aborted) {
      try {
        const { items, metadata } = await this.get<Listed<T>>({ path: list.path });
        const present = new Set(items.map((item) => item.metadata.uid));
        for (const object of known.values())
          if (!present.has(object.metadata.uid)) note({ type: "DELETED", object });
        for (const object of items) note({ type: "ADDED", object });
        const path = `${list.path}?watch=1&resourceVersion=${metadata.resourceVersion}`;
        await this.#lines(path, signal, (line) => {
          const event = JSON.parse(line) as WatchEvent<T>;
          if (["ADDED", "MODIFIED", "DELETED"].includes(event.type)) note(event);
        });
      } catch (error) {
        // The loop ends where the signal is why.
        if (!(error instanceof Error)) throw error;
      }
      await sleep(200);
    }
  }

  async #json<T>(method: string, resource: Resource<T>, body?: unknown, type?: string): Promise<T> {
    let text = "";
    const signal = AbortSignal.timeout(requestMs);
    await this.#send(method, resource.path, { body, type, signal }, (chunk) => (text += chunk));
    return JSON.parse(text) as T;
  }

  async #lines(path: string, signal: AbortSignal, tell: (line: string) => void): Promise<void> {
    let rest = "";
    await this.#send("GET", path, { signal }, (chunk) => {
      const lines = `${rest}${chunk}`.split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) tell(line);
    });
  }

  #send(
    method: string,
    path: string,
    { body, type, signal }: { body?: unknown; type?: string | undefined; signal: AbortSignal },
    receive: (chunk: string) => void,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? "" : JSON.stringify(body);
      const headers = {
        authorization: `Bearer ${this.#token}`,
        ...(body === undefined ? {} : { "content-type": type ?? "application/json" }),
        // Node says no length of a DELETE's body by itself, and the server would not read it.
        "content-length": Buffer.byteLength(text),
      };
      const target = { host: "127.0.0.1", port: this.#port, ca: this.#ca, method, path, headers };
      const call = request({ ...target, signal }, (response) => {
        const status = response.statusCode ?? 0;
        let refusal = "";
        response.setEncoding("utf8").on("data", (chunk: string) => {
          if (status < 300) receive(chunk);
          else refusal += chunk;
        });
        response.once("error", reject);
        response.once("end", () =>
          status < 300 ? resolve() : reject(new ApiError(status, `${method} ${path}: ${refusal}`)),
        );
      });
      call.once("error", reject);
      call.end(text);
    });
  }
}
