#!/usr/bin/env bash
# Whether ONNX Runtime rounds the activations of a weight-only layer to 8 bits depends on the block size of its weights.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0 (CPU), numpy 2.4.6
# Expected   DequantizeLinear → MatMul is a product in float. If a fused kernel approximates it, it does so for every block size.
# Behaviour  blocks of 16 and 32 are fused, and the activations are quantized on the way: errors near 1 %. Blocks of 20 or 48,
#            and blocks along the outputs, are computed in float. The same for 4 and for 8 bits, so that a
#            comparison of block sizes, or of 4 with 8 bits, measures the kernel before it measures the weights.
# Output     largest error, relative, blocks of 16, 20, 32 and 48 along 96 inputs
#            INT4: 16 fused, 20 exact, 32 fused, 48 exact
#            INT8: 16 fused, 20 exact, 32 fused, 48 exact
#            (fused: between 1e-3 and 3e-2; exact: below 2e-6; all exact with session.qdq_matmulnbits_accuracy_level = 1)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnxruntime
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(1)
inputs, outputs = 96, 7
x = rng.normal(size=(5, inputs)).astype(np.float32)


def error(kind, low, high, block, level=None):
    blocks = -(-inputs // block)
    codes = rng.integers(low, high, (inputs, outputs))
    scales = rng.uniform(0.01, 0.1, (blocks, outputs)).astype(np.float32)
    nodes = [
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0, block_size=block),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "blocks",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [5, outputs])],
        [
            helper.make_tensor("q", kind, [inputs, outputs], codes.ravel()),
            numpy_helper.from_array(scales, "s"),
            helper.make_tensor("z", kind, [blocks, outputs], [0] * (blocks * outputs)),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    if level:
        options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", level)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    y = session.run(None, {"x": x})[0]
    expected = x @ (codes * np.repeat(scales, block, axis=0)[:inputs]).astype(np.float32)
    return np.abs(y - expected).max() / np.abs(expected).max()


def word(error):
    if error < 2e-6:
        return "exact"
    assert 1e-3 < error < 3e-2, error
    return "fused"


for name, kind, low, high in (("INT4", TensorProto.INT4, -8, 8), ("INT8", TensorProto.INT8, -128, 128)):
    found = {block: word(error(kind, low, high, block)) for block in (16, 20, 32, 48)}
    print("%s: %s" % (name, ", ".join("%d %s" % row for row in found.items())))
    assert found == {16: "fused", 20: "exact", 32: "fused", 48: "exact"}
    assert word(error(kind, low, high, 16, level="1")) == "exact"
PY
