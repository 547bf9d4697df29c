#!/usr/bin/env bash
# ONNX Runtime's quantizer takes the contracted axis of a stack of matrices for the output channels.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
# Expected   the weight of a MatMul has its outputs along the last axis: per-channel scales belong there.
# Behaviour  quantize_static(per_channel=True) uses axis 1 for every MatMul weight. Of a matrix that is the last; of a weight
#            [batch, inputs, outputs] (heads, experts) it is the inputs. There is a scale an input, no factor that could leave the
#            sum, and columns that are small beside others are lost as they are per tensor.
# Output     [6, 8]:    axis 1, 8 scales, worst column off by 0.5 %
#            [3, 6, 8]: axis 1, 6 scales, worst column off by 100.0 %
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging

import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

logging.disable(logging.WARNING)


def found(shape):
    rng = np.random.default_rng(0)
    # The last column is a thousandth of the first.
    weight = (rng.normal(size=shape) * np.logspace(0, -3, shape[-1])).astype(np.float32)
    inputs = [*shape[:-2], 4, shape[-2]]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "float.onnx")

    class Samples(CalibrationDataReader):
        def __init__(self):
            self.samples = iter([{"x": rng.normal(size=inputs).astype(np.float32)}])

        def get_next(self):
            return next(self.samples, None)

    quantize_static("float.onnx", "int8.onnx", Samples(), per_channel=True, activation_type=QuantType.QUInt8)
    graph = onnx.load("int8.onnx").graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    (node,) = (n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] == "w_quantized")
    (axis,) = (a.i for a in node.attribute if a.name == "axis")
    along = [1] * weight.ndim
    along[axis] = -1
    again = constants["w_quantized"].astype(np.float32) * constants["w_scale"].reshape(along)
    rows = tuple(range(weight.ndim - 1))
    errors = np.sqrt(((again - weight) ** 2).mean(rows) / (weight**2).mean(rows))
    return axis, constants["w_scale"].size, 100 * errors.max()


plain, stacked = found((6, 8)), found((3, 6, 8))
print("[6, 8]:    axis %d, %d scales, worst column off by %.1f %%" % plain)
print("[3, 6, 8]: axis %d, %d scales, worst column off by %.1f %%" % stacked)
assert plain[:2] == (1, 8) and plain[2] < 2
assert stacked[:2] == (1, 6) and stacked[2] > 50
PY
