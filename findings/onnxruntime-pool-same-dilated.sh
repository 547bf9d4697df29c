#!/usr/bin/env bash
# ONNX Runtime computes the padding of a pool with auto_pad = SAME_* as if it had no dilation.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0 (CPU), numpy 2.4.6
# Expected   SAME_UPPER and SAME_LOWER give ceil(size / stride) elements whatever the dilation, or an error.
# Behaviour  MaxPool, AveragePool and LpPool with dilation 2 give smaller outputs than onnx' shape inference promises for the
#            same file: 2 for 6 by stride 2, where 3 are inferred. Loading and running raise nothing. A Conv with the same
#            attributes is refused when it runs. An exporter should always write explicit pads.
# Output     MaxPool SAME_UPPER: inferred 3, onnxruntime 2        (the same for SAME_LOWER, AveragePool and LpPool)
#            Conv SAME_UPPER: refused, "Dilation not supported for AutoPadType"
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

onnxruntime.set_default_logger_severity(4)
x = np.random.default_rng(0).normal(size=(1, 1, 6, 6)).astype(np.float32)


def build(operator, auto_pad):
    attributes = dict(kernel_shape=[3, 3], strides=[2, 2], dilations=[2, 2], auto_pad=auto_pad)
    weights = [numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "w")] if operator == "Conv" else []
    node = helper.make_node(operator, ["x"] + [w.name for w in weights], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)


def inferred(model):
    return onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim[2].dim_value


def run(model):
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


for operator in ("MaxPool", "AveragePool", "LpPool"):
    for auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        model = build(operator, auto_pad)
        sizes = inferred(model), run(model).shape[2]
        print("%s %s: inferred %d, onnxruntime %d" % (operator, auto_pad, *sizes))
        assert sizes == (3, 2)
model = build("Conv", "SAME_UPPER")
assert inferred(model) == 3
try:
    run(model)
except Exception as error:
    assert "Dilation not supported for AutoPadType" in str(error), error
    print('Conv SAME_UPPER: refused, "Dilation not supported for AutoPadType"')
else:
    raise SystemExit("a dilated Conv with SAME_UPPER runs now")
PY
