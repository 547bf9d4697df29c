#!/usr/bin/env bash
# The reference evaluator of the onnx package computes another LRN than the operator's text does.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
# Expected   y = x / (bias + alpha / size · Σ x²)^beta, the sum over `size` neighbouring channels, in every runtime.
# Behaviour  ONNX Runtime agrees with the formula to the last bits. onnx.reference is far from it on the same file, for
#            every odd size tried. A conformance test whose expected values come from the evaluator fails the
#            implementation that is right.
# Output     size 3: onnxruntime 2.4e-07, onnx.reference 9.6e-01 (largest error against the formula)
#            size 5: onnxruntime 1.2e-07, onnx.reference 7.3e-01
#            size 7: onnxruntime 1.2e-07, onnx.reference 6.3e-01
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

x = np.random.default_rng(0).normal(size=(1, 8, 2, 2)).astype(np.float32)
alpha, beta, bias = 0.5, 0.75, 1.0
for size in (3, 5, 7):
    node = helper.make_node("LRN", ["x"], ["y"], size=size, alpha=alpha, beta=beta, bias=bias)
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8, 2, 2])
    graph = helper.make_graph([node], "lrn", [value("x")], [value("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    formula = np.empty_like(x)
    for c in range(8):
        first, last = max(0, c - (size - 1) // 2), min(7, c + size // 2)
        squares = (x[:, first : last + 1] ** 2).sum(axis=1)
        formula[:, c] = x[:, c] / (bias + alpha / size * squares) ** beta
    runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
    errors = [np.abs(y - formula).max() for y in (runtime, reference)]
    print("size %d: onnxruntime %.1e, onnx.reference %.1e" % (size, *errors))
    assert errors[0] < 1e-5, "ONNX Runtime has left the formula"
    assert errors[1] > 0.1, "onnx.reference has come nearer to the formula"
PY
