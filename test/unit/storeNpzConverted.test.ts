import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readNpz } from "../../src/store/readNpz.js";
import { storedZip } from "../../src/store/zip.js";
import { temporaryFolder } from "./temporaryFolder.js";

/** Python says what the numbers and their places are: an array of (2, 3, 4, 5), written as NumPy would. */
const convertedArray = `
import itertools, struct, sys
order, code, fortran = sys.argv[2], sys.argv[3], sys.argv[4] == "True"
shape = (2, 3, 4, 5)
value = lambda i, j, k, l: (-1) ** l * (i * 100 + j * 10 + k + l / 8)
axes = [range(extent) for extent in shape]
if fortran: places = [tuple(reversed(p)) for p in itertools.product(*reversed(axes))]
else: places = list(itertools.product(*axes))
size = {"e": 2, "f": 4, "d": 8}[code]
head = "{'descr': '%sf%d', 'fortran_order': %s, 'shape': (2, 3, 4, 5), }\\n" % (order, size, fortran)
data = struct.pack(order + code * len(places), *[value(*p) for p in places])
with open(sys.argv[1], "wb") as f:
    f.write(b"\\x93NUMPY\\x01\\x00" + struct.pack("<H", len(head)) + head.encode() + data)
`;

test.each(
  ["<", ">"].flatMap((order) =>
    ["e", "f", "d"].flatMap((code) => ["False", "True"].map((fortran) => [order, code, fortran])),
  ),
)(
  "an array of byte order %s, type %s and Fortran order %s has the values that it says",
  async (...how) => {
    const folder = await temporaryFolder();
    const member = join(folder, "array.npy");
    execFileSync("python3", ["-c", convertedArray, member, ...how]);
    const name = "resnet/converted/kernel";
    const path = join(folder, "weights.npz");
    const parts = [await readFile(member)];
    await writeFile(path, Buffer.concat([...storedZip([{ name: `${name}.npy`, parts }])]));
    const spec = { name, shape: [2, 3, 4, 5], offset: 0, size: 120 };
    const { parameters: read } = await readNpz(path, [spec], { allowOtherHead: false });
    const wanted = new Float32Array(120);
    for (let place = 0; place < 120; place += 1) {
      const [i, j, k, l] = [place / 60, (place / 20) % 3, (place / 5) % 4, place % 5].map(
        Math.trunc,
      );
      wanted[place] = (-1) ** (l ?? 0) * ((i ?? 0) * 100 + (j ?? 0) * 10 + (k ?? 0) + (l ?? 0) / 8);
    }
    expect(read).toEqual(wanted);
  },
);
