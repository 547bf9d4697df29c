#!/usr/bin/env bash
# A convolution whose weights NNCF has compressed to 8 bits cannot be run.
#
# Versions   nncf 3.4.0, onnx 1.23.2, onnxruntime 1.32.0 (CPU), numpy 2.4.6
# Expected   compress_weights of a model with a convolution gives a model that runs: DequantizeLinear with a scale for each filter has
#            scales of one axis, [filters], along axis 0.
# Behaviour  the scales and zero points of convolutions have the shape [filters, 1, 1], so that DequantizeLinear refuses them when it runs.
#            onnx.checker with full_check accepts the file, and nncf reports success. Scales of linear layers have one axis.
# Output     scales of the convolution: [4, 1, 1]
#            scales of the linear layer: [5]
#            checker: accepted
#            onnxruntime: refused
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet nncf==3.4.0 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - 2> "$work/log" <<'PY' || { cat "$work/log" >&2; exit 1; }
import nncf, numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(1)
weights = {"conv.weight": (4, 3, 3, 3), "fc.weight": (5, 4)}
graph = helper.make_graph(
    [
        helper.make_node("Conv", ["x", "conv.weight"], ["c"], name="conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flatten"),
        helper.make_node("Gemm", ["f", "fc.weight"], ["y"], name="fc", transB=1),
    ],
    "graph",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 5])],
    [numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name) for name, shape in weights.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
compressed = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)

dims = {tensor.name: list(tensor.dims) for tensor in compressed.graph.initializer}
scales = {node.input[0]: dims[node.input[1]] for node in compressed.graph.node if node.op_type == "DequantizeLinear"}
conv, linear = (next(scale for name, scale in scales.items() if layer in name) for layer in ("conv", "fc"))
print("scales of the convolution:", conv)
print("scales of the linear layer:", linear)
onnx.checker.check_model(compressed, full_check=True)
print("checker: accepted")
options = onnxruntime.SessionOptions()
options.log_severity_level = 4
try:
    session = onnxruntime.InferenceSession(compressed.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.ones((1, 3, 8, 8), np.float32)})
    outcome = "run"
except Exception:
    outcome = "refused"
print("onnxruntime:", outcome)
assert (conv, linear, outcome) == ([4, 1, 1], [5], "refused"), (conv, linear, outcome)
PY
