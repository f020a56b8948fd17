import type { Ask, CollectorLimits } from "./collector.js";
import type { Frame, Outbound } from "./content.js";
import type { Answer } from "./contentServer.js";
import type { Counters } from "./counters.js";
import { offsetOf, type Grid } from "./units.js";

/** What all machines of one process share: where they are heard, and how much they may ask for. */
export interface Channel {
  /** Where this process listens for frames. */
  readonly address: string;
  readonly limits: CollectorLimits;
  readonly counters: Counters;
}

/** One side of a conversation about the content of one step. */
export interface Correspondent {
  receive(frame: Frame, nowMs: number): void;
  tick(nowMs: number): void;
  repeatAll(nowMs: number): void;
  next(nowMs: number): Outbound | undefined;
}

/** What a frame is about. */
export interface Subject {
  readonly job: string;
  readonly attempt: number;
  readonly step: number;
  readonly trial: number;
  readonly grid: Grid;
}

/** The frame that puts a question to a peer. */
export function askFrame(subject: Subject, channel: Channel, ask: Ask): Outbound {
  channel.counters.requestsSent += 1;
  const { job, attempt, step, trial, grid } = subject;
  const offset = offsetOf(grid, ask.units.first);
  const length = offsetOf(grid, ask.units.end) - offset;
  const { content } = ask;
  const from = channel.address;
  return {
    to: ask.peer,
    frame: { kind: "request", job, attempt, step, trial, from, content, offset, length },
  };
}

/** The frame that answers a peer. Its bytes are a view of values that do not change any more. */
export function answerFrame(subject: Subject, channel: Channel, answer: Answer): Outbound {
  const { content, bytes } = answer;
  channel.counters.dataFramesSent += 1;
  channel.counters.dataBytesSent += bytes.length;
  const { job, attempt, step, trial, grid } = subject;
  const offset = offsetOf(grid, answer.units.first);
  const length = bytes.length / 4;
  const from = channel.address;
  return {
    to: answer.peer,
    frame: { kind: "data", job, attempt, step, trial, from, content, offset, length, bytes },
  };
}
