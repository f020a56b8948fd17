import { connect, type ClientHttp2Session } from "node:http2";
import type { RunningServer } from "../../src/link/service.js";

export interface RawAnswer {
  readonly status: number | undefined;
  readonly message: string;
}

interface How {
  readonly headers?: Record<string, string>;
  /** The stream is not ended after the body. */
  readonly open?: boolean;
}

/** gRPC spoken by hand over HTTP/2, so that it can be spoken badly. */
export class RawGrpc {
  readonly #session: ClientHttp2Session;

  constructor({ host, port }: RunningServer) {
    this.#session = connect(`http://${host}:${port}`);
    this.#session.on("error", () => undefined);
  }

  get isClosed(): boolean {
    return this.#session.closed || this.#session.destroyed;
  }

  /** The status that the server ends the call with; undefined where the stream breaks instead. */
  async call(path: string, body: Uint8Array, how: How = {}): Promise<number | undefined> {
    return (await this.answer(path, body, how)).status;
  }

  /** With the sentence that comes with the status. */
  answer(path: string, body: Uint8Array, how: How = {}): Promise<RawAnswer> {
    return new Promise((resolve) => {
      const base = { "content-type": "application/grpc", te: "trailers" };
      const stream = this.#session.request({
        ...{ ":method": "POST", ":path": path },
        ...{ ...base, ...how.headers },
      });
      let status: number | undefined;
      let message = "";
      const note = (headers: object): void => {
        const given: unknown = Reflect.get(headers, "grpc-status");
        const http: unknown = Reflect.get(headers, ":status");
        if (typeof given === "string") {
          status = Number(given);
          message = decodeURIComponent(String(Reflect.get(headers, "grpc-message") ?? ""));
        } else if (http !== undefined && http !== 200) status = Number(http);
      };
      const end = (): void => resolve({ status, message });
      stream.on("response", note);
      stream.on("trailers", note);
      stream.on("error", end);
      stream.on("close", end);
      stream.on("end", () => stream.close());
      stream.resume();
      if (how.open === true) stream.write(body);
      else stream.end(body);
    });
  }

  /** Later: Node aborts where a session is destroyed from inside of one of its own callbacks. */
  close(): void {
    setImmediate(() => this.#session.destroy());
  }
}

/** A message with the five bytes that stand before it. */
export function framed(message: Uint8Array, flags = 0, length = message.length): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flags, 0);
  head.writeUInt32BE(length >>> 0, 1);
  return Buffer.concat([head, message]);
}
