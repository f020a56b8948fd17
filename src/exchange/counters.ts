/** What an exchange has seen and done since its process began. */
export interface Counters {
  requestsSent: number;
  /** Requests that no answer came to in time, and that were sent again. */
  requestsRepeated: number;
  dataFramesSent: number;
  dataBytesSent: number;
  dataBytesTaken: number;
  /** Data that was here already. */
  duplicates: number;
  /** Data that answers no open request. */
  unasked: number;
  /** Frames of a step that is over, or of another job. */
  stale: number;
  /** Frames that name no content, or no run of whole units of it. */
  bad: number;
  /** Requests refused because too many were waiting. */
  overflow: number;
}

export function newCounters(): Counters {
  return {
    requestsSent: 0,
    requestsRepeated: 0,
    dataFramesSent: 0,
    dataBytesSent: 0,
    dataBytesTaken: 0,
    duplicates: 0,
    unasked: 0,
    stale: 0,
    bad: 0,
    overflow: 0,
  };
}
