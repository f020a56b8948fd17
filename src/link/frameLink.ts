/**
 * What carries frames between workers. Delivery is at most once, and frames of one sender to one
 * address keep their order; a link that is cut loses what is on its way and heals by itself.
 */
export interface FrameLink {
  /** The largest frame that `send` takes. */
  readonly frameBytesMax: number;
  readonly isConnected: boolean;
  /** Sends, or drops while disconnected. The bytes may not change until a later flush is done. */
  send(to: string, frame: Uint8Array): void;
  /** Settles when all that was sent has left this process, or was lost with the connection. */
  flush(): Promise<void>;
  /** Time since the far side last answered, for the worker's beats. */
  roundTripAgeMs(): number;
  close(): Promise<void>;
}

export type LinkStatus =
  | { readonly kind: "disconnected" }
  | { readonly kind: "reconnected" }
  | { readonly kind: "error"; readonly message: string }
  /** For good: nothing will come or go any more. */
  | { readonly kind: "closed"; readonly reason: string };

/** For the log. */
export function statusText(status: LinkStatus): string {
  return status.kind === "error" ? `NATS: error ${status.message}` : `NATS: ${status.kind}`;
}

export interface LinkHandlers {
  /** The bytes are valid only during the call. */
  onFrame(bytes: Uint8Array): void;
  onStatus(status: LinkStatus): void;
}
