#!/usr/bin/env bash
# A layer that carries a mask of torch.nn.utils.prune loses its parameter's name when it is exported to ONNX.
#
# Versions   torch 2.15.0, onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0, numpy 2.4.6
# Expected   the pruned weight is exported as `0.weight`, as the same layer without a mask is.
# Behaviour  the mask's product is folded into a constant, rightly (the zeros are there), under a name of the product: `mul`, `mul_1`
#            by the default exporter, `onnx::Conv_N` by the old one. Nothing says which layer a constant was, so a recipe by
#            names no longer finds the layers that were pruned. The old exporter also leaves the batch norm behind such a convolution
#            unfolded in a file for inference. After prune.remove the default exporter writes `0.weight` and `4.weight`; the
#            old one folds the norm and names the linear layer's weight only.
# Output     masked:  default ['4.bias', 'mul', 'mul_1', 'val_17'],
#                     old ['1.bias', '1.weight', '4.bias', 'onnx::Conv_21', 'onnx::Gemm_23'], with BatchNormalization
#            removed: default ['0.weight', '4.bias', '4.weight', 'val_17'],
#                     old ['4.bias', '4.weight', 'onnx::Conv_15', 'onnx::Conv_16'], without
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.15.0 onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging, warnings

import numpy as np, onnx, onnxruntime, torch
from onnx import numpy_helper
from torch import nn
from torch.nn.utils import prune

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
torch.manual_seed(0)
x = torch.randn(2, 3, 4, 4)
model = nn.Sequential(
    nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 10)
).eval()
prune.l1_unstructured(model[0], "weight", 0.5)
prune.l1_unstructured(model[4], "weight", 0.5)


def export(**options):
    torch.onnx.export(model, (x,), "model.onnx", **options)
    graph = onnx.load("model.onnx").graph
    y = onnxruntime.InferenceSession("model.onnx").run(None, {graph.input[0].name: x.numpy()})[0]
    with torch.no_grad():
        assert np.abs(y - model(x).numpy()).max() < 1e-5
    shares = {t.name: float((numpy_helper.to_array(t) == 0).mean()) for t in graph.initializer if len(t.dims) > 1}
    return sorted(t.name for t in graph.initializer), shares, {n.op_type for n in graph.node}


default = dict(dynamo=True, verbose=False, external_data=False)
old = dict(dynamo=False, opset_version=17)
names, zeros, _ = export(**default)
old_names, old_zeros, operators = export(**old)
print("masked:  default %s, old %s" % (names, old_names))
assert {"mul", "mul_1"} <= set(names) and not {"0.weight", "4.weight"} & set(names)
assert all(0.4 < share < 0.6 for share in [*zeros.values(), *old_zeros.values()])
assert not any(name in ("0.weight", "4.weight") for name in old_names)
assert "BatchNormalization" in operators
for layer in (model[0], model[4]):
    prune.remove(layer, "weight")
names, _, _ = export(**default)
old_names, _, operators = export(**old)
print("removed: default %s, old %s" % (names, old_names))
assert {"0.weight", "4.weight"} <= set(names) and "4.weight" in old_names
assert "BatchNormalization" not in operators
PY
