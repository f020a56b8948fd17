"""check.py FOLDER: holds an exported npz to NumPy and to timm's own loader.

FOLDER has weights.npz, and what it should hold: expected.json (model, classes, side, batch, tensors
with their names and shapes), weights.f32 (all tensors one after the other), images.u8 and logits.f32.
Prints a line per check; exit code 1 when one does not hold.
"""

import json
import pathlib
import sys

import numpy
import timm
import torch

folder = pathlib.Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
failed = 0


def check(holds, what):
    global failed
    failed += not holds
    print(f"{'ok    ' if holds else 'FAILED'} {what}", flush=True)


flat = numpy.fromfile(folder / "weights.f32", "<f4")
with numpy.load(folder / "weights.npz", allow_pickle=False) as weights:
    names = [tensor["name"] for tensor in expected["tensors"]]
    check(weights.files == names, f"NumPy {numpy.__version__} finds the {len(names)} names in order")
    offset, wrong = 0, []
    for tensor in expected["tensors"]:
        found = weights[tensor["name"]]
        end = offset + found.size
        same = found.dtype == numpy.dtype("<f4") and list(found.shape) == tensor["shape"]
        if not same or found.tobytes() != flat[offset:end].tobytes():
            wrong.append(tensor["name"])
        offset = end
    check(wrong == [] and offset == flat.size, f"shapes, float32 and every bit are right {wrong[:3]}")

name = f"resnetv2_{expected['model'][1:]}_bit"
model = timm.create_model(name, num_classes=expected["classes"]).eval()
model.load_pretrained(str(folder / "weights.npz"))
# In float64, so that the difference is our rounding alone: with these weights it grows layer by layer.
model = model.double()
side, batch = expected["side"], expected["batch"]
images = numpy.fromfile(folder / "images.u8", numpy.uint8).reshape(batch, side, side, 3)
pixels = torch.from_numpy(images.astype(numpy.float64)).permute(0, 3, 1, 2) / 127.5 - 1
with torch.inference_mode():
    theirs = model(pixels).numpy()
ours = numpy.fromfile(folder / "logits.f32", "<f4").reshape(theirs.shape)
difference = float(numpy.abs(theirs - ours).max())
spread = float(numpy.abs(theirs).max())
check(
    difference <= 1e-4 and spread > 0.01,
    f"timm {timm.__version__} ({name}, PyTorch {torch.__version__}) has our logits: largest "
    f"difference {difference:.1e}, bar 1e-4, largest logit {spread:.2f}",
)
sys.exit(1 if failed else 0)
