#!/usr/bin/env bash
# LpPool with ceil_mode has two meanings: partial windows are scaled up by some, and not by others.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0, torch 2.15.0, numpy 2.4.6
# Expected   y = (Σ |x|^p)^(1/p) over the elements of a window, also of a window that ceil_mode lets hang over the edge.
# Behaviour  ONNX Runtime does that. PyTorch's lp_pool2d is an average pool times the size of the whole window, so a window
#            with n of k elements counts (k / n)^(1/p) times too much; onnx.reference follows PyTorch. The same file, or the same
#            layer in two frameworks, differs in its last row and column alone.
# Output     6 by 6 of ones, kernel 3, stride 2, p = 2, last column: sum 2.449, onnxruntime 2.449, torch 3.000, onnx.reference 3.000
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 torch==2.15.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnxruntime, torch
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

x = np.ones((1, 1, 6, 6), np.float32)
node = helper.make_node("LpPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, p=2)
graph = helper.make_graph(
    [node],
    "lp",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 6, 6])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 3, 3])],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
answers = {
    "onnxruntime": onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0],
    "torch": torch.nn.functional.lp_pool2d(torch.from_numpy(x), 2, 3, 2, ceil_mode=True).numpy(),
    "onnx.reference": ReferenceEvaluator(model).run(None, {"x": x})[0],
}
whole, partial = 3.0, 6**0.5
found = ", ".join("%s %.3f" % (name, y[0, 0, 0, 2]) for name, y in answers.items())
print("6 by 6 of ones, kernel 3, stride 2, p = 2, last column: sum %.3f, %s" % (partial, found))
for name, y in answers.items():
    assert y.shape == (1, 1, 3, 3), name
    assert abs(y[0, 0, 0, 0] - whole) < 1e-5, name
    assert abs(y[0, 0, 0, 2] - (partial if name == "onnxruntime" else whole)) < 1e-5, name
PY
