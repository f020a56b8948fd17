/** The coordinator's end of one worker's stream. */
import { status, type ServerDuplexStream } from "@grpc/grpc-js";
import type { Origin } from "../control/fleetEvent.js";
import type { WorkerCommand, WorkerEvent } from "../control/message.js";
import { FailureError } from "../job/problem.js";
import { workerCommand } from "../wire/workerCommand.js";
import { workerEvent } from "../wire/workerEvent.js";
import { isRefused, type Guest } from "./admission.js";
import { buffer } from "./bytes.js";
import type { CallHost } from "./grpcCalls.js";
import { sessionCall } from "./methods.js";
import type { WorkerSession } from "./service.js";
import { isInternal, leaving, toStatus, type CallStatus } from "./status.js";

/** Commands that a worker may leave unread. The most that a healthy one sees at once is a handful. */
const unreadMax = 1024;

/** Serves one call; the session is handed to `onSession` before anything is read. */
export function serveSession(
  call: ServerDuplexStream<Buffer, Buffer>,
  host: CallHost,
  onSession: (session: WorkerSession) => void,
): void {
  const guest = host.admit(call.metadata, sessionCall);
  if (isRefused(guest)) {
    call.emit("error", guest);
    return;
  }
  onSession(new StreamSession(call, host, guest));
}

class StreamSession implements WorkerSession {
  readonly peer: string;
  readonly origin: Origin;
  readonly #call: ServerDuplexStream<Buffer, Buffer>;
  readonly #host: CallHost;
  readonly #guest: Guest;
  readonly #leave: () => void;
  #unread = 0;
  #closed: string | undefined;
  #closedListener: ((reason: string) => void) | undefined;

  constructor(call: ServerDuplexStream<Buffer, Buffer>, host: CallHost, guest: Guest) {
    this.peer = call.getPeer();
    this.origin = { token: guest.caller, address: this.peer.replace(/:\d+$/, "") };
    this.#call = call;
    this.#host = host;
    this.#guest = guest;
    this.#leave = (): void => {
      const reason = String(host.signal.reason);
      this.#end(reason, leaving(reason));
    };
    host.signal.addEventListener("abort", this.#leave, { once: true });
    guest.onRevoked((status) => this.#end(status.details, status));
    call.on("cancelled", () => this.#end("the connection was lost"));
    call.on("end", () => this.#end("the worker ended the stream", null));
    call.on("error", () => this.#end("the stream broke"));
    if (host.signal.aborted) this.#leave();
  }

  send(term: number, command: WorkerCommand): void {
    if (this.#closed !== undefined) return;
    if (this.#unread >= unreadMax) {
      this.close(`the worker left ${this.#unread} commands unread`);
      return;
    }
    const bytes = buffer(workerCommand.encode({ term, command }));
    this.#unread += 1;
    this.#call.write(bytes, () => (this.#unread -= 1));
  }

  close(reason: string): void {
    this.#end(reason, toStatus(new FailureError(reason)));
  }

  onEvent(listener: (event: WorkerEvent) => void): void {
    this.#call.on("data", (bytes: Buffer) => {
      if (this.#closed !== undefined) return;
      try {
        const event = workerEvent.decode(bytes);
        const why = event.kind === "hello" ? this.#guest.whyNotWorker(event.workerId) : undefined;
        if (why === undefined) listener(event);
        else this.#end(why, { code: status.PERMISSION_DENIED, details: why });
      } catch (error) {
        if (isInternal(error)) this.#host.onError(error);
        this.#end(error instanceof Error ? error.message : "an error", toStatus(error));
      }
    });
  }

  onClosed(listener: (reason: string) => void): void {
    this.#closedListener = listener;
    if (this.#closed !== undefined) this.#report(this.#closed);
  }

  /** `outcome` null ends the stream well; undefined: there is nobody left to tell. */
  #end(reason: string, outcome?: CallStatus | null): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    this.#host.signal.removeEventListener("abort", this.#leave);
    this.#guest.leave();
    if (outcome === null) this.#call.end();
    else if (outcome !== undefined) this.#call.emit("error", outcome);
    this.#call.resume();
    this.#report(reason);
  }

  /** Later and once, so that a listener set, or a caller of `close`, is never called back from inside. */
  #report(reason: string): void {
    const listener = this.#closedListener;
    if (listener === undefined) return;
    this.#closedListener = undefined;
    queueMicrotask(() => listener(reason));
  }
}
