/** The worker's end of its stream. */
import { status, type ClientDuplexStream, type StatusObject } from "@grpc/grpc-js";
import { ConfigError, WireError } from "../job/problem.js";
import { workerCommand } from "../wire/workerCommand.js";
import { workerEvent } from "../wire/workerEvent.js";
import { buffer } from "./bytes.js";
import { Channel } from "./channel.js";
import { sessionPath } from "./methods.js";
import type { SessionClient, SessionOptions } from "./service.js";
import { fromStatus, isRefusal } from "./status.js";

const closed: SessionClient = {
  send: () => undefined,
  close: () => undefined,
  cut: () => undefined,
};

/**
 * Opens the worker's stream. Returns at once; what is sent before the connection stands is kept. Never throws: an address
 * that is none is reported through `onClosed` like every other end.
 */
export function openSession(options: SessionOptions): SessionClient {
  const { address, token, tls, onClosed } = options;
  try {
    const channel = new Channel(address, token, tls);
    return run(channel, channel.session(sessionPath), options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    queueMicrotask(() => onClosed(error.message, true));
    return closed;
  }
}

function run(
  channel: Channel,
  call: ClientDuplexStream<Buffer, Buffer>,
  { address, onCommand, onClosed }: SessionOptions,
): SessionClient {
  let ended = false;
  let greeted = false;
  const end = (reason: string, refused: boolean): void => {
    if (ended) return;
    ended = true;
    channel.close();
    onClosed(reason, refused);
  };
  call.on("data", (bytes: Buffer) => {
    if (ended) return;
    try {
      const { term, command } = workerCommand.decode(bytes);
      greeted = true;
      onCommand(term, command);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      call.cancel();
      end(`the coordinator at ${address} sent ${error.message}`, false);
    }
  });
  // The status says it all, and always comes; without a listener the error would end the process.
  call.on("error", () => undefined);
  call.on("status", (outcome: StatusObject) => {
    const { code } = outcome;
    if (code === status.OK) end("the stream has ended", false);
    else end(fromStatus(outcome, address, channel.trouble).message, isRefusal(code, greeted));
  });
  return {
    send: (event) => {
      if (!ended) call.write(buffer(workerEvent.encode(event)));
    },
    close: () => call.end(),
    cut: (reason) => {
      end(reason, false);
      channel.cut();
    },
  };
}
