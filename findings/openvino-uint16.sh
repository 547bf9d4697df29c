#!/usr/bin/env bash
# OpenVINO drops a pair of QuantizeLinear and DequantizeLinear of 16 bits, with the saturation that it stands for.
#
# Versions   onnx 1.23.2, openvino 2026.4.1 (CPU, INFERENCE_PRECISION_HINT f32), numpy 2.4.6
# Expected   QuantizeLinear rounds to the nearest integer and saturates at those of the type: 0 and 255 of uint8, 0 and 65,535 of uint16.
# Behaviour  the pair is computed for uint8, and is the identity for uint16 and int16: a relu that a quantizer stands for, as most tools
#            write it, is gone, and numbers beyond the range pass.
# Output     2 * pair(2 * x) of x = -3, -0.004, 0.004, 1, 9:
#            uint8, scale 1/64: as the formula says, from 0 to 7.96875
#            uint16 and int16, scale 1/16384: 4 * x, from -12 to 36; the formula gives 0 to 7.9999 and -4 to 3.9999
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 openvino==2026.4.1 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np, openvino
from onnx import TensorProto, helper, numpy_helper

x = np.array([-3.0, -0.004, 0.004, 1.0, 9.0], np.float32)


def run(kind, scale):
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["doubled"]),
        helper.make_node("QuantizeLinear", ["doubled", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["back"]),
        helper.make_node("Mul", ["back", "two"], ["y"]),
    ]
    shape = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [len(x)])
    constants = [numpy_helper.from_array(np.array(2, np.float32), "two"), numpy_helper.from_array(np.array(scale, np.float32), "s"), numpy_helper.from_array(np.array(0, kind), "z")]
    graph = helper.make_graph(nodes, "pair", [shape("x")], [shape("y")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = compiled(x)[0]
    bounds = np.iinfo(kind)
    formula = np.clip(np.rint(2 * x / np.float32(scale)), bounds.min, bounds.max) * np.float32(2 * scale)
    return found, formula.astype(np.float32)


print("x", x)
for kind, scale, dropped in [(np.uint8, 1 / 64, False), (np.uint16, 1 / 16384, True), (np.int16, 1 / 16384, True)]:
    found, formula = run(kind, scale)
    print(f"{kind.__name__}: {found}; the formula gives {formula}")
    assert not np.array_equal(formula, 4 * x)
    assert np.array_equal(found, 4 * x if dropped else formula), f"{kind.__name__} has changed"
PY
