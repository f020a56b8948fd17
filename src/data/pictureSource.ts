import type { ExampleEntry } from "./dataIndex.js";
import type { Listing } from "./folder.js";

/** Where pictures come from: a folder of this machine, or a data set in the store. The same files are the same from both. */
export interface PictureSource {
  /** As messages name a picture. */
  pathOf(file: string): string;
  list(): Promise<Listing>;
  /** Bytes of a listed picture's file; 0: it is gone, which `read` tells. */
  sizeOf(file: string): Promise<number>;
  /** The bytes of a listed picture. ConfigError: it is gone or too large. */
  read(file: string): Promise<Uint8Array>;
  /** How a picture differs from what was indexed, by a look at it that is cheap; undefined: not at all. */
  difference(entry: ExampleEntry): Promise<string | undefined>;
  /** The bytes that were indexed. FailureError: they are not there any more. */
  reread(entry: ExampleEntry): Promise<Uint8Array>;
}
