/** Frames of HTTP/2 made by hand, so that they can be made badly. */

export const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

export const frameTypes = {
  ...{ data: 0, headers: 1, priority: 2, reset: 3, settings: 4, push: 5, ping: 6, goaway: 7 },
  ...{ window: 8, continuation: 9 },
} as const;

export const flags = { none: 0, endStream: 1, ack: 1, endHeaders: 4 } as const;

export function frame(type: number, flag: number, payload: Uint8Array, stream = 1): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length & 0xffffff, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flag, 4);
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, payload]);
}

export type HeaderField = readonly [name: string, value: string];

/** Of a call, as a client of gRPC sends them. */
export function callHeaders(path: string): readonly HeaderField[] {
  return [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", path],
    [":authority", "a"],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ];
}

/** Headers spelt out, without compression; names and values of up to 126 bytes. */
export function headerBlock(fields: readonly HeaderField[]): Buffer {
  const text = (value: string): Buffer => {
    const bytes = Buffer.from(value, "latin1");
    return Buffer.concat([Buffer.from([bytes.length & 127]), bytes]);
  };
  const block = fields.flatMap(([key, value]) => [Buffer.from([0]), text(key), text(value)]);
  return Buffer.concat(block);
}

export interface Frame {
  readonly type: number;
  readonly flag: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The whole frames that the bytes begin with. */
export function framesIn(bytes: Buffer): readonly Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length;) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    const stream = bytes.readUInt32BE(at + 5) & 0x7fffffff;
    const payload = bytes.subarray(at + 9, end);
    frames.push({ type: bytes.readUInt8(at + 3), flag: bytes.readUInt8(at + 4), stream, payload });
    at = end;
  }
  return frames;
}
