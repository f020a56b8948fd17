/**
 * Who may hold how many connections to a server of ours, and for how long without asking anything. A connection is a stranger's
 * until something with a token came over it. Strangers have a share of their own; where it is full the oldest one of the address
 * that has most makes room, so that a newcomer gets to show its token however many others hold on.
 */
import type { Socket } from "node:net";

export interface PlaceBounds {
  /** Connections of strangers, over all addresses. */
  readonly strangers: number;
  /** Connections of one remote address, strangers' or not; without a bound where undefined. */
  readonly perAddress?: number | undefined;
  /** One over which nothing was asked by then is cut, also amid a handshake of TLS. */
  readonly silentMs: number;
}

/** The other end of a connection, as a request tells it. */
export interface Peer {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

interface Place {
  readonly address: string;
  readonly socket: Socket;
  readonly silence: NodeJS.Timeout;
}

export class ConnectionPlaces {
  readonly #bounds: PlaceBounds;
  /** By `keyOf`. */
  readonly #places = new Map<string, Place>();
  /** By address, the oldest first. */
  readonly #strangers = new Map<string, Set<Place>>();
  readonly #counts = new Map<string, number>();
  #strangersCount = 0;

  constructor(bounds: PlaceBounds) {
    this.#bounds = bounds;
  }

  /** Counts a connection until it is closed. It, or another, may be cut for it. */
  enter(socket: Socket): void {
    const key = keyOf(socket);
    const { remoteAddress: address = "" } = socket;
    const cut = (): unknown => socket.destroy();
    const place = { address, socket, silence: setTimeout(cut, this.#bounds.silentMs).unref() };
    this.#places.set(key, place);
    this.#counts.set(address, (this.#counts.get(address) ?? 0) + 1);
    const strangers = this.#strangers.get(address) ?? new Set();
    this.#strangers.set(address, strangers.add(place));
    this.#strangersCount += 1;
    socket.once("close", () => {
      clearTimeout(place.silence);
      if (this.#places.get(key) === place) this.#places.delete(key);
      this.#remember(place);
      const left = (this.#counts.get(address) ?? 1) - 1;
      if (left > 0) this.#counts.set(address, left);
      else this.#counts.delete(address);
    });
    const { perAddress = Infinity } = this.#bounds;
    if ((this.#counts.get(address) ?? 0) > perAddress) this.#cutOldest(strangers);
    if (this.#strangersCount > this.#bounds.strangers) this.#cutOldest(this.#most());
  }

  /** Something was asked over it, with a token that is known or without. */
  heard(peer: Peer, hasToken: boolean): void {
    const place = this.#places.get(keyOf(peer));
    if (place === undefined) return;
    clearTimeout(place.silence);
    if (hasToken) this.#remember(place);
  }

  /** It is no stranger any more. */
  #remember(place: Place): void {
    const strangers = this.#strangers.get(place.address);
    if (strangers?.delete(place) !== true) return;
    this.#strangersCount -= 1;
    if (strangers.size === 0) this.#strangers.delete(place.address);
  }

  #most(): ReadonlySet<Place> {
    let most: ReadonlySet<Place> = new Set();
    for (const strangers of this.#strangers.values())
      if (strangers.size > most.size) most = strangers;
    return most;
  }

  #cutOldest(strangers: ReadonlySet<Place>): void {
    const [oldest] = strangers;
    if (oldest === undefined) return;
    this.#remember(oldest);
    oldest.socket.destroy();
  }
}

function keyOf({ remoteAddress = "", remotePort = 0 }: Peer): string {
  return `${remoteAddress} ${remotePort}`;
}
