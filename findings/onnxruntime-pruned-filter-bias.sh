#!/usr/bin/env bash
# ONNX Runtime's quantizer gives a filter of zeros the weight scale 1, and rounds its bias to whole steps of the activation.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
# Expected   a filter that was pruned to zeros answers with its bias (a folded batch norm leaves one there). Its weights are exact
#            with any scale, so one would choose a scale that keeps the bias: biases have the scale s_x · s_w.
# Behaviour  quantize_static(per_channel=True) takes s_w = 1 for a channel whose weights are all zero. The scale of its bias is then
#            the activation's own, 0.05 here, where the neighbours' is 500 times finer: the bias is rounded to a multiple of it, and a
#            bias below half of it is lost. Per tensor the same filter keeps its bias. Pruned networks are hit the harder the more is
#            pruned, and by the finer granularity of the two.
# Output     per channel: weight scales of the pruned filters 1.0 and 1.0, biases 0.31 and 0.013 become 0.300 and 0.000
#            per tensor:  biases become 0.310 and 0.013
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
rng = np.random.default_rng(0)
weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
weights[[1, 3]] = 0
biases = np.array([0.3, 0.31, -0.7, 0.013], np.float32)
node = helper.make_node("Conv", ["x", "w", "b"], ["y"], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
graph = helper.make_graph(
    [node],
    "conv",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 8, 8])],
    [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(biases, "b")],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.save(model, "float.onnx")


class Images(CalibrationDataReader):
    def __init__(self):
        # From -6.4 to 6.35: a scale of 0.05.
        image = np.linspace(-6.4, 6.35, 192, dtype=np.float32).reshape(1, 3, 8, 8)
        self.images = iter([{"x": image}])

    def get_next(self):
        return next(self.images, None)


def quantized(per_channel):
    quantize_static(
        "float.onnx", "int8.onnx", Images(), per_channel=per_channel, activation_type=QuantType.QUInt8
    )
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load("int8.onnx").graph.initializer}
    return constants["w_scale"], constants["b_quantized"] * constants["b_quantized_scale"]


scales, stored = quantized(per_channel=True)
found = scales[1], scales[3], stored[1], stored[3]
print("per channel: weight scales of the pruned filters %.1f and %.1f, biases 0.31 and 0.013 become %.3f and %.3f" % found)
assert scales[1] == scales[3] == 1.0
assert abs(stored[1] - 0.3) < 1e-3 and stored[3] == 0.0
_, stored = quantized(per_channel=False)
print("per tensor:  biases become %.3f and %.3f" % (stored[1], stored[3]))
assert abs(stored[1] - 0.31) < 1e-3 and abs(stored[3] - 0.013) < 1e-3
PY
