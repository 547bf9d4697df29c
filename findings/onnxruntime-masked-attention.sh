#!/usr/bin/env bash
# ONNX Runtime's quantizer spends the 8 bits of attention scores on the mask.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
# Expected   a causal mask of -10,000 (or -inf) before a softmax makes its entries zero. What only a softmax reads needs no range below
#            its maximum by more than what the exponential can tell, some 16: attention keeps the accuracy that it has without a mask.
# Behaviour  quantize_static quantizes the sum of scores and mask over its whole range: one step is 39 for a mask of -10,000, and
#            all scores that are not masked become equal. For -inf the scale that it writes is infinite; no step raises an error.
#            Leave the Add out (nodes_to_exclude), or mask after the quantized part.
# Output     no mask:  29.0 dB, scale of the scores 0.084
#            -10,000:  3.2 dB, scale 39.3
#            -inf:     0.0 dB, scale inf
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
onnxruntime.set_default_logger_severity(4)
tokens, width = 8, 16


def quantized(masked):
    rng = np.random.default_rng(0)
    weights = {name: (rng.normal(size=(width, width)) / 4).astype(np.float32) for name in ("wq", "wk", "wv")}
    later = np.triu(np.ones((tokens, tokens), bool), 1)
    mask = np.where(later, np.float32(masked), np.float32(0))
    nodes = [helper.make_node("MatMul", ["x", "w" + name], [name]) for name in "qkv"]
    nodes += [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["products"]),
        helper.make_node("Add", ["products", "mask"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "v"], ["y"]),
    ]
    constants = [numpy_helper.from_array(w, name) for name, w in {**weights, "mask": mask}.items()]
    value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, tokens, width])
    graph = helper.make_graph(nodes, "attention", [value("x")], [value("y")], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), "float.onnx")
    x = rng.normal(size=(4, tokens, width)).astype(np.float32)

    class Samples(CalibrationDataReader):
        def __init__(self):
            self.samples = iter([{"x": x}])

        def get_next(self):
            return next(self.samples, None)

    quantize_static("float.onnx", "int8.onnx", Samples(), activation_type=QuantType.QUInt8, per_channel=True)
    y, integers = (onnxruntime.InferenceSession(f).run(None, {"x": x})[0] for f in ("float.onnx", "int8.onnx"))
    ratio = 10 * np.log10((y**2).sum() / ((y - integers) ** 2).sum())
    scales = {t.name: numpy_helper.to_array(t) for t in onnx.load("int8.onnx").graph.initializer}
    return ratio, float(scales["scores_scale"])


plain, finite, infinite = quantized(0), quantized(-1e4), quantized(-np.inf)
print("no mask:  %.1f dB, scale of the scores %.3f" % plain)
print("-10,000:  %.1f dB, scale %.1f" % finite)
print("-inf:     %.1f dB, scale %s" % infinite)
assert plain[0] > 28 and plain[1] < 0.2
assert finite[0] < 6 and 39 < finite[1] < 40
assert infinite[0] < 1 and np.isinf(infinite[1])
PY
