#!/usr/bin/env bash
# A norm that is spelled as arithmetic becomes NaN in 8 bits where one channel is weaker than the others.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
# Expected   x / sqrt(variance + ε) is finite for every input, since ε > 0: that is what ε is for.
# Behaviour  quantize_static quantizes the variance, with one scale for all channels, and its sum with ε. A channel that is 100 times
#            weaker has 10,000 times less variance, which is code 0, as ε is: the quotient is infinite or NaN. It is quantized with
#            calibration data that show the weak channel, and neither the quantizer nor the runtime says anything. The others keep
#            35 dB. As one operation (InstanceNormalization, LayerNormalization) the norm stays in float.
# Output     all channels alike: 0 values not finite
#            one 100 times weaker: 256 of 2048 values not finite, all in that channel
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PY'
import logging, warnings

import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

logging.disable(logging.WARNING)
warnings.filterwarnings("ignore")
channels, weak = 8, 2


def not_finite(strength):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(channels, 3, 3, 3)).astype(np.float32)
    weights[weak] *= strength
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["c"], ["mean"], axes=[2, 3]),
        helper.make_node("Sub", ["c", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squares"]),
        helper.make_node("ReduceMean", ["squares"], ["variance"], axes=[2, 3]),
        helper.make_node("Add", ["variance", "epsilon"], ["sum"]),
        helper.make_node("Sqrt", ["sum"], ["deviation"]),
        helper.make_node("Div", ["centred", "deviation"], ["y"]),
    ]
    constants = [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.float32(1e-5), "epsilon")]
    graph = helper.make_graph(
        nodes,
        "norm",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, channels, 8, 8])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "float.onnx")
    x = rng.normal(size=(4, 3, 8, 8)).astype(np.float32)

    class Images(CalibrationDataReader):
        def __init__(self):
            self.images = iter([{"x": x}])

        def get_next(self):
            return next(self.images, None)

    quantize_static("float.onnx", "int8.onnx", Images(), activation_type=QuantType.QUInt8, per_channel=True)
    y, integers = (onnxruntime.InferenceSession(f).run(None, {"x": x})[0] for f in ("float.onnx", "int8.onnx"))
    assert np.isfinite(y).all()
    return (~np.isfinite(integers)).sum(axis=(0, 2, 3)), integers.size


alike, _ = not_finite(1.0)
weaker, size = not_finite(0.01)
print("all channels alike: %d values not finite" % alike.sum())
print("one 100 times weaker: %d of %d values not finite, all in that channel" % (weaker.sum(), size))
assert alike.sum() == 0
assert weaker[weak] > 200 and weaker.sum() == weaker[weak]
PY
