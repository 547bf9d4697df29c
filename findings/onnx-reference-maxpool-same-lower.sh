#!/usr/bin/env bash
# The reference evaluator of the onnx package pads MaxPool with SAME_LOWER by nothing where the size is odd.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
# Expected   with auto_pad = SAME_LOWER the output has ceil(size / stride) elements along each axis: 4 for 7 by stride 2.
# Behaviour  Shape inference, ONNX Runtime and the evaluator's own AveragePool say 4. The evaluator's MaxPool gives 3, and
#            loses the last row and column. For even sizes it has the right shape and other values: its padding is on the
#            other side.
# Output     7 by 2: inferred 4, onnxruntime 4, onnx.reference 3, its AveragePool 4
#            6, kernel 3, by 2: same shape, largest difference 0.49
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator


def pool(operator, size, kernel):
    node = helper.make_node(
        operator, ["x"], ["y"], kernel_shape=[kernel] * 2, strides=[2, 2], auto_pad="SAME_LOWER"
    )
    graph = helper.make_graph(
        [node],
        "pool",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def outputs(model, size):
    x = np.random.default_rng(size).normal(size=(1, 1, size, size)).astype(np.float32)
    runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
    return runtime, ReferenceEvaluator(model).run(None, {"x": x})[0]


model = pool("MaxPool", 7, 2)
inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim[2].dim_value
runtime, reference = outputs(model, 7)
average = outputs(pool("AveragePool", 7, 2), 7)[1]
shapes = inferred, runtime.shape[2], reference.shape[2], average.shape[2]
print("7 by 2: inferred %d, onnxruntime %d, onnx.reference %d, its AveragePool %d" % shapes)
assert shapes == (4, 4, 3, 4)
runtime, reference = outputs(pool("MaxPool", 6, 3), 6)
assert runtime.shape == reference.shape
difference = np.abs(runtime - reference).max()
print("6, kernel 3, by 2: same shape, largest difference %.2f" % difference)
assert difference > 0.05
PY
