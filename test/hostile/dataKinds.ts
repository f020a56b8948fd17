import { decodePage, encodePages, refusalOfFile } from "../../src/data/dataPages.js";
import { decodeDataSet, encodeDataSet } from "../../src/data/dataSet.js";
import { hold, type Kind } from "./kind.js";
import { chance, mutate } from "./mutate.js";
import { mutateJson } from "./mutateJson.js";

const listed = (file: string) => ({ file, sha256: "ab".repeat(32), bytes: 900 });
const files = ["five/1.png", "six ünï/2.JPG", "six ünï/deep/3.webp"].map(listed);
const page = Buffer.concat([...encodePages(files)]);

export const dataPageKind: Kind = {
  name: "data-page",
  stages: [
    { name: "json", refusal: /is not JSON$/ },
    { name: "list", refusal: /it is no list|it has \d+ (pictures|bytes)/ },
    { name: "rows", refusal: /3 parts|names no file/ },
    { name: "names", refusal: /(part of )?its (name|extension)|class folder|folders deep/ },
    { name: "hashes and sizes", refusal: /no SHA-256|does not have from 1/ },
    { name: "spelling and order", refusal: /./s },
  ],
  open: async () => ({
    feed: (random) => {
      const json = chance(random, 0.7) ? mutateJson(random, page.toString()) : undefined;
      const spoilt = json === undefined ? mutate(random, page) : Buffer.from(spelled(json));
      const read = decodePage(spoilt);
      for (const { file } of read) hold(refusalOfFile(file) === undefined, `${file} leads out`);
      hold(Buffer.concat([...encodePages(read)]).equals(spoilt), "a page has another spelling");
    },
  }),
};

/** As a page would have it, where it is a list at all: other faults are to be found than the spelling. */
function spelled(json: string): string {
  try {
    const value: unknown = JSON.parse(json);
    if (!Array.isArray(value)) return json;
    return `[\n${value.map((row) => JSON.stringify(row)).join(",\n")}\n]\n`;
  } catch {
    return json;
  }
}

const set = {
  ...{ name: "digits", classes: 2, pictures: 3, bytes: 2700, ignoredFiles: 1 },
  pages: ["ab".repeat(32), "cd".repeat(32)],
};

export const dataSetKind: Kind = {
  name: "data-set",
  stages: [
    { name: "json", refusal: /is not JSON$/ },
    { name: "format", refusal: /its format is not/ },
    { name: "pages", refusal: /no list of pages|a page has no SHA-256/ },
    { name: "counts", refusal: /is not from \d+ to/ },
    { name: "spelling", refusal: /it is damaged$/ },
  ],
  open: async () => ({
    feed: (random) => {
      const encoded = Buffer.from(encodeDataSet(set));
      const spoilt = chance(random, 0.7)
        ? Buffer.from(respelled(mutateJson(random, encoded.toString())))
        : mutate(random, encoded);
      const read = decodeDataSet(spoilt, "digits");
      hold(Buffer.from(encodeDataSet(read)).equals(spoilt), "a data set has another spelling");
    },
  }),
};

function respelled(json: string): string {
  try {
    return `${JSON.stringify(JSON.parse(json), undefined, 1)}\n`;
  } catch {
    return json;
  }
}
