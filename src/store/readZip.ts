import { crc32 } from "node:zlib";
import { open, type Entry, type ZipFile } from "yauzl";
import { ConfigError, codeOf } from "../job/problem.js";
import { fileProblem } from "../process/fileProblem.js";

/** yauzl with promises, and with the checks of a stranger's archive. */

const membersMax = 10_000;
const stored = 0;
const deflated = 8;

/** Throws ConfigError naming the file when it is missing or no zip archive. The archive reader's own words reach nobody. */
export function openZip(path: string): Promise<ZipFile> {
  return new Promise((resolve, reject) => {
    open(path, { lazyEntries: true, autoClose: false, strictFileNames: true }, (error, zip) => {
      // The types have only `zip`; it is undefined when there is an error.
      if (error === null) resolve(zip);
      else reject(new ConfigError(`${path} ${openProblem(error)}`, { cause: error }));
    });
  });
}

/**
 * The members by name. Throws ConfigError for more than 10,000, one name twice, encryption or another
 * compression than deflate; yauzl itself refuses absolute names and those with `..`.
 */
export function listZip(zip: ZipFile): Promise<ReadonlyMap<string, Entry>> {
  return new Promise((resolve, reject) => {
    const members = new Map<string, Entry>();
    const refuse = (reason: string): void => {
      reject(new ConfigError(reason));
    };
    zip.on("error", (error: Error) => refuse(entryProblem(error)));
    zip.on("end", () => resolve(members));
    zip.on("entry", (entry: Entry) => {
      const { fileName, compressionMethod } = entry;
      if (members.has(fileName)) refuse(`it has ${fileName} twice`);
      else if (entry.isEncrypted()) refuse(`${fileName} is encrypted`);
      else if (compressionMethod !== stored && compressionMethod !== deflated) {
        refuse(`${fileName} has compression method ${compressionMethod}`);
      } else {
        members.set(fileName, entry);
        zip.readEntry();
      }
    });
    if (zip.entryCount > membersMax) refuse(`${zip.entryCount} members are over ${membersMax}`);
    else zip.readEntry();
  });
}

/**
 * The bytes of a member, inflated. Ends with an error when they are not as many as the archive says,
 * or when their checksum differs.
 */
export async function* readMember(zip: ZipFile, entry: Entry): AsyncIterable<Uint8Array> {
  const failed = (what: string, error: unknown): ConfigError => {
    const reason = isOfSystem(error) ? fileProblem(error) : `${entry.fileName} ${what}`;
    return new ConfigError(reason, { cause: error });
  };
  const member = await openMember(zip, entry).catch((error: unknown) => {
    throw failed("is not where the archive says", error);
  });
  let checksum = 0;
  try {
    for await (const chunk of member) {
      checksum = crc32(chunk, checksum);
      yield chunk;
    }
  } catch (error) {
    throw failed("is damaged", error);
  }
  if (checksum !== entry.crc32) throw new ConfigError(`${entry.fileName} fails its checksum`);
}

function openMember(zip: ZipFile, entry: Entry): Promise<AsyncIterable<Uint8Array>> {
  return new Promise((resolve, reject) => {
    zip.openReadStream(entry, (error, stream) => {
      if (error === null) resolve(stream);
      else reject(error);
    });
  });
}

/** Weights are read where workers run, which may be another machine than their user's. */
function openProblem(error: Error): string {
  const code = codeOf(error);
  if (code === "ENOENT" || code === "ENOTDIR")
    return "does not exist on the workers: the path of weights is a path on the workers";
  if (isOfSystem(error)) return `cannot be read on the workers: ${fileProblem(error)}`;
  return "is not a readable npz file: it is no zip archive, or not a whole one";
}

function entryProblem(error: Error): string {
  if (isOfSystem(error)) return fileProblem(error);
  return /path|fileName/.test(error.message)
    ? "it has a member whose name leads out of it"
    : "its list of members is damaged";
}

/** An error of a file, such as EACCES, and none of what is in it; zlib's have codes of their own, such as Z_DATA_ERROR. */
function isOfSystem(error: unknown): boolean {
  return /^E[A-Z]+$/.test(codeOf(error) ?? "");
}
