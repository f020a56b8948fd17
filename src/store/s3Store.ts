import { createHash, randomUUID } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { FailureError } from "../job/problem.js";
import { formatS3Address, type S3Address } from "./s3Address.js";
import { isMissing, isRefusedCondition, isUnknownUpload, s3Reason, statusOf } from "./s3Reason.js";
import { partsOf } from "./partsOf.js";
import { S3Upload, type S3Condition, type S3Key } from "./s3Upload.js";
import {
  checkName,
  checkPrefix,
  StoreError,
  type Chunks,
  type ProvableStore,
  type Stored,
} from "./store.js";

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
}

export interface S3Options {
  /** Undefined: as the machine offers them (role of the pod or instance, shared files). */
  readonly credentials?: S3Credentials | undefined;
  /** What a request may take, a part's bytes included. */
  readonly requestMs?: number;
  /** Tries of a request, the first included. */
  readonly attempts?: number;
  /** Bytes of a part; S3 takes no fewer than 5 MiB but in the last. */
  readonly partBytes?: number;
}

/** S3 takes 10,000 parts, so a file may have 160 GB. */
const partBytesDefault = 16 * 2 ** 20;
const readBytes = 8 * 2 ** 20;
/** An upload of several parts that was begun so long ago is no one's any more. */
const deadUploadMs = 24 * 3_600_000;
/** What an object says of the put that made it. */
const markName = "bitfleet-put";

/**
 * A store in a bucket of S3, or of a server that speaks S3. A file is one object, which appears whole when
 * its only request, or the last of its parts' is answered; parts that were never completed are shown
 * to nobody, and are removed when a store with a prefix is proved a day later. Two that put one name at
 * the same moment both succeed and the later one stays, as in a folder: a checkpoint's data is the same
 * whoever saves it, and its manifest, put afterwards, says what the data has to be. `putNew` is conditional
 * (If-None-Match), so the server has to know that, which `prove` finds out.
 */
export class S3Store implements ProvableStore {
  readonly #client: S3Client;
  readonly #address: S3Address;
  readonly #requestMs: number;
  readonly #partBytes: number;

  private constructor(address: S3Address, options: S3Options) {
    const { credentials, requestMs = 60_000, attempts = 4 } = options;
    const { endpoint, region } = address;
    this.#address = address;
    this.#requestMs = requestMs;
    this.#partBytes = options.partBytes ?? partBytesDefault;
    this.#client = new S3Client({
      region,
      // Servers that are not Amazon's seldom have a name for every bucket.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      ...(credentials !== undefined && { credentials }),
      maxAttempts: attempts,
      // Not every server takes their headers, and the signature covers the SHA-256 of every body already.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        connectionTimeout: Math.min(5_000, requestMs),
        requestTimeout: requestMs,
        throwOnRequestTimeout: true,
      },
    });
  }

  /** Asks for the bucket at once, so that a wrong setting is told at the start. */
  static async open(address: S3Address, options: S3Options = {}): Promise<S3Store> {
    const store = new S3Store(address, options);
    try {
      const { bucket, prefix } = address;
      const asked = { Bucket: bucket, Prefix: prefix, MaxKeys: 1 };
      await store.#client.send(new ListObjectsV2Command(asked), store.#deadline());
    } catch (error) {
      store.close();
      throw store.#failure("it cannot be opened", error);
    }
    return store;
  }

  /**
   * Puts a new name twice: where both are taken, the server does not know conditions, and two coordinators could have one
   * term. Also clears away what was never completed below the prefix.
   */
  async prove(): Promise<readonly string[]> {
    const { bucket } = this.#address;
    // A name that no store lists.
    const key = { Bucket: bucket, Key: this.#keyOf(`.probe-${randomUUID()}`) };
    try {
      await this.#probe(key);
      const isTakenTwice = await this.#probe(key);
      if (isTakenTwice)
        throw this.#failure(
          "new names cannot be told from old ones",
          `${this.#address.endpoint ?? "the server"} ignores If-None-Match, so two coordinators could take one term: ` +
            "use a server that knows conditional writes, or a folder as the store",
        );
      await this.#clearDeadUploads(key);
    } finally {
      await this.#client
        .send(new DeleteObjectCommand(key), this.#deadline())
        .catch(() => undefined);
    }
    return [];
  }

  /** Whether the server took it; false where it says that there is such an object. */
  async #probe(key: S3Key): Promise<boolean> {
    const probe = { ...key, IfNoneMatch: "*", Body: Buffer.from("probe\n") };
    try {
      await this.#client.send(new PutObjectCommand(probe), this.#deadline());
      return true;
    } catch (error) {
      if (isRefusedCondition(error)) return false;
      throw this.#failure("a first object cannot be written to try it", error);
    }
  }

  /** Ends connections that are kept for the next request. */
  close(): void {
    this.#client.destroy();
  }

  put(name: string, chunks: Chunks): Promise<Stored> {
    return this.#put(name, chunks, {});
  }

  async putNew(name: string, chunks: Chunks): Promise<Stored | undefined> {
    try {
      return await this.#put(name, chunks, { IfNoneMatch: "*" });
    } catch (error) {
      if (error instanceof StoreError && isRefusedCondition(error.cause)) return undefined;
      throw error;
    }
  }

  /** In pieces, each a request that is tried again by itself, and all of one version of the object. */
  async *get(name: string): AsyncIterable<Uint8Array> {
    const key = this.#key(name);
    let at = 0;
    let total = 1;
    let etag: string | undefined;
    while (at < total) {
      const range = `bytes=${at}-${at + readBytes - 1}`;
      const piece = await this.#read(name, { ...key, Range: range, IfMatch: etag });
      if (piece === undefined) return; // It is empty, and so has no such range.
      // A server that ignores IfMatch would mix two versions.
      if (etag !== undefined && piece.etag !== etag)
        throw this.#failure(`${name} cannot be read`, "it was replaced meanwhile");
      etag ??= piece.etag;
      total = piece.total;
      at += piece.bytes.length;
      if (piece.bytes.length === 0) throw this.#failure(`${name} cannot be read`, "it ends early");
      yield piece.bytes;
    }
  }

  async stat(name: string): Promise<{ readonly bytes: number } | undefined> {
    const key = this.#key(name);
    try {
      const found = await this.#client.send(new HeadObjectCommand(key), this.#deadline());
      return { bytes: found.ContentLength ?? 0 };
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw this.#failure(`${name} cannot be looked up`, error);
    }
  }

  async list(prefix: string): Promise<string[]> {
    checkPrefix(prefix);
    const names: string[] = [];
    const home = this.#keyOf("");
    let token: string | undefined;
    try {
      do {
        const asked = {
          Bucket: this.#address.bucket,
          Prefix: home + prefix,
          ContinuationToken: token,
        };
        const page = await this.#client.send(new ListObjectsV2Command(asked), this.#deadline());
        for (const { Key } of page.Contents ?? []) names.push((Key ?? "").slice(home.length));
        token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      } while (token !== undefined);
    } catch (error) {
      throw this.#failure("it cannot be listed", error);
    }
    // Others may keep things in the bucket that a store would not take.
    return names.filter((name) => name !== "" && !/(^|\/)(\.|$)/.test(name)).toSorted();
  }

  async delete(name: string): Promise<void> {
    const key = this.#key(name);
    try {
      await this.#client.send(new DeleteObjectCommand(key), this.#deadline());
    } catch (error) {
      if (!isMissing(error)) throw this.#failure(`${name} cannot be deleted`, error);
    }
  }

  /** A file of one part is one request; a larger one is uploaded in parts and then completed. */
  async #put(name: string, chunks: Chunks, condition: S3Condition): Promise<Stored> {
    const key = this.#key(name);
    const mark = { [markName]: randomUUID() };
    const hash = createHash("sha256");
    let bytes = 0;
    let upload: S3Upload | undefined;
    try {
      for await (const part of partsOf(chunks, this.#partBytes)) {
        hash.update(part.bytes);
        bytes += part.bytes.length;
        if (part.isLast && upload === undefined) {
          const whole = { ...key, ...condition, Metadata: mark, Body: part.bytes };
          await this.#storing(name, () =>
            this.#finish(key, mark, () =>
              this.#client.send(new PutObjectCommand(whole), this.#deadline()),
            ),
          );
        } else if (part.bytes.length > 0) {
          upload ??= await this.#storing(name, () => this.#begin(key, mark));
          await this.#storing(name, upload.add(part.bytes));
        }
      }
      const begun = upload;
      if (begun !== undefined)
        await this.#storing(name, () => this.#finish(key, mark, () => begun.complete(condition)));
    } catch (error) {
      await upload?.abort();
      throw error;
    }
    return { sha256: hash.digest("hex"), bytes };
  }

  /**
   * The request that makes the object appear. Where its answer is lost the client sends it again, and the server refuses:
   * the upload is no more, or the name is taken, by this very put. The mark tells.
   */
  async #finish(key: S3Key, mark: Mark, request: () => Promise<unknown>): Promise<void> {
    try {
      await request();
    } catch (error) {
      const mayBeOurs = isUnknownUpload(error) || isRefusedCondition(error);
      if (!mayBeOurs || !(await this.#hasMark(key, mark))) throw error;
    }
  }

  async #hasMark(key: S3Key, mark: Mark): Promise<boolean> {
    try {
      const found = await this.#client.send(new HeadObjectCommand(key), this.#deadline());
      return found.Metadata?.[markName] === mark[markName];
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  async #begin(key: S3Key, mark: Mark): Promise<S3Upload> {
    const asked = { ...key, Metadata: mark };
    const begun = await this.#client.send(
      new CreateMultipartUploadCommand(asked),
      this.#deadline(),
    );
    return new S3Upload(this.#client, { ...key, UploadId: begun.UploadId }, () => this.#deadline());
  }

  /** What the chunks' own source throws is not the store's to explain; what the work throws is. */
  async #storing<T>(name: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#failure(`${name} cannot be written`, error);
    }
  }

  /** Undefined where the object is empty. A body that breaks off is asked for again. */
  async #read(
    name: string,
    asked: S3Key & { readonly Range: string; readonly IfMatch: string | undefined },
  ): Promise<Piece | undefined> {
    for (let tries = 1; ; tries += 1) {
      const deadline = this.#deadline();
      try {
        const found = await this.#client.send(new GetObjectCommand(asked), deadline);
        const body = await whole(found.Body?.transformToByteArray(), deadline.abortSignal);
        const total = Number(/\/(\d+)$/.exec(found.ContentRange ?? "")?.[1] ?? body.length);
        return { bytes: body, total, etag: found.ETag };
      } catch (error) {
        if (statusOf(error) === 416) return undefined;
        if (isMissing(error))
          throw new FailureError(`${name} is not in the ${this.#name()}`, { cause: error });
        const mayRepeat = statusOf(error) === undefined && tries < 3;
        if (!mayRepeat) throw this.#failure(`${name} cannot be read`, error);
      }
    }
  }

  /**
   * By the server's clock, which `probe` was written at a moment ago; ours may be wrong. Without a prefix nothing tells our
   * uploads from others'. Whatever goes wrong here costs only the space of what stays.
   */
  async #clearDeadUploads(probe: S3Key): Promise<void> {
    const { bucket, prefix } = this.#address;
    if (prefix === "") return;
    const asked = { Bucket: bucket, Prefix: this.#keyOf("") };
    try {
      const { LastModified } = await this.#client.send(
        new HeadObjectCommand(probe),
        this.#deadline(),
      );
      if (LastModified === undefined) return;
      const nowMs = LastModified.getTime();
      const found = await this.#client.send(
        new ListMultipartUploadsCommand(asked),
        this.#deadline(),
      );
      for (const { Key, UploadId, Initiated } of found.Uploads ?? []) {
        if (nowMs - (Initiated?.getTime() ?? nowMs) < deadUploadMs) continue;
        const dead = { Bucket: bucket, Key, UploadId };
        await this.#client.send(new AbortMultipartUploadCommand(dead), this.#deadline());
      }
    } catch {
      // Not every server lists uploads, and not every user may.
    }
  }

  #key(name: string): S3Key {
    checkName(name);
    return { Bucket: this.#address.bucket, Key: this.#keyOf(name) };
  }

  #keyOf(name: string): string {
    const { prefix } = this.#address;
    return prefix === "" ? name : `${prefix}/${name}`;
  }

  #deadline(): { readonly abortSignal: AbortSignal } {
    return { abortSignal: AbortSignal.timeout(2 * this.#requestMs) };
  }

  #name(): string {
    return `store ${formatS3Address(this.#address).replace(/\?.*/, "")}`;
  }

  #failure(what: string, cause: unknown): StoreError {
    const reason = typeof cause === "string" ? cause : s3Reason(cause, this.#address);
    return new StoreError(`the ${this.#name()}: ${what}`, reason, cause);
  }
}

type Mark = Readonly<Record<string, string>>;

interface Piece {
  readonly bytes: Uint8Array;
  readonly total: number;
  readonly etag: string | undefined;
}

/** The body within the deadline too: the client bounds only the wait for its beginning. */
async function whole(
  body: Promise<Uint8Array> | undefined,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const late = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(new DOMException("late", "TimeoutError")), {
      once: true,
    });
  });
  late.catch(() => undefined);
  return Promise.race([body ?? Promise.resolve(new Uint8Array(0)), late]);
}
