import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  UploadPartCommand,
  type CompletedPart,
  type S3Client,
} from "@aws-sdk/client-s3";

export interface S3Key {
  readonly Bucket: string;
  readonly Key: string;
}

export interface S3Condition {
  readonly IfNoneMatch?: string;
}

/** In memory are so many parts, and the one that is being filled. */
const partsAtOnce = 2;

/** One file's parts on their way. */
export class S3Upload {
  readonly #client: S3Client;
  readonly #upload: S3Key & { readonly UploadId: string | undefined };
  readonly #deadline: () => { readonly abortSignal: AbortSignal };
  readonly #parts: CompletedPart[] = [];
  readonly #underWay = new Set<Promise<void>>();
  #sent = 0;

  constructor(
    client: S3Client,
    upload: S3Key & { readonly UploadId: string | undefined },
    deadline: () => { readonly abortSignal: AbortSignal },
  ) {
    this.#client = client;
    this.#upload = upload;
    this.#deadline = deadline;
  }

  /** Work that ends as soon as there is room for another part. */
  add(bytes: Uint8Array): () => Promise<void> {
    return async () => {
      const sending = this.#send(bytes, (this.#sent += 1));
      this.#underWay.add(sending);
      // Its failure is found by the next wait, or by `complete`.
      sending.then(
        () => this.#underWay.delete(sending),
        () => undefined,
      );
      if (this.#underWay.size >= partsAtOnce) await Promise.race(this.#underWay);
    };
  }

  async complete(condition: S3Condition): Promise<void> {
    await Promise.all(this.#underWay);
    const Parts = this.#parts.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0));
    const done = { ...this.#upload, ...condition, MultipartUpload: { Parts } };
    await this.#client.send(new CompleteMultipartUploadCommand(done), this.#deadline());
  }

  /** Never rejects. */
  async abort(): Promise<void> {
    await Promise.allSettled(this.#underWay);
    const aborted = new AbortMultipartUploadCommand(this.#upload);
    await this.#client.send(aborted, this.#deadline()).catch(() => undefined);
  }

  async #send(bytes: Uint8Array, number: number): Promise<void> {
    const part = { ...this.#upload, PartNumber: number, Body: bytes };
    const sent = await this.#client.send(new UploadPartCommand(part), this.#deadline());
    this.#parts.push({ PartNumber: number, ETag: sent.ETag });
  }
}
