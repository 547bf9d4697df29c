#!/usr/bin/env bash
# A NaN survives ReLU, and disappears in MaxPool or ReduceMax of ONNX Runtime, depending on where in the window it is.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0 (CPU, x86-64), numpy 2.4.6
# Expected   the maximum of values with a NaN among them is NaN, as in numpy.max and in ONNX' Max, or never NaN.
# Behaviour  Relu, Clip, Max and Softmax pass NaN on. A 2 × 2 MaxPool gives NaN if it is the window's last element, and the maximum of
#            the others if it is the first; ReduceMax gives the maximum of the others. A network that overflowed before its first pool
#            can therefore answer with plain numbers: check for NaN before a pool, not at the output.
# Output     Relu nan, Max nan, Softmax nan
#            MaxPool: first of the window 1.0, last of the window nan; ReduceMax 3.0
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto, helper, numpy_helper


def run(operator, x, constants=(), **attributes):
    tensors = [numpy_helper.from_array(np.asarray(c), "c%d" % i) for i, c in enumerate(constants)]
    node = helper.make_node(operator, ["x", *(t.name for t in tensors)], ["y"], **attributes)
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
    graph = helper.make_graph([node], "g", [value("x", list(x.shape))], [value("y", None)], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0].ravel()


row = np.array([[1, np.nan, 3, 2]], np.float32)
passed = [run("Relu", row)[1], run("Max", row, [np.float32(0)])[1], run("Softmax", row)[0]]
print("Relu %s, Max %s, Softmax %s" % tuple(passed))
assert np.isnan(passed).all()
window = lambda values: np.array(values, np.float32).reshape(1, 1, 2, 2)
first = run("MaxPool", window([np.nan, 1, 1, 1]), kernel_shape=[2, 2])[0]
last = run("MaxPool", window([1, 1, 1, np.nan]), kernel_shape=[2, 2])[0]
reduced = run("ReduceMax", row)[0]
print("MaxPool: first of the window %s, last of the window %s; ReduceMax %s" % (first, last, reduced))
assert first == 1.0 and np.isnan(last) and reduced == 3.0
PY
