#!/usr/bin/env bash
# A pruned weight stored as a sparse initializer runs in ONNX Runtime, and the onnx package's own tools cannot take the file.
#
# Versions   onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6
# Expected   GraphProto.sparse_initializer is how ONNX stores a weight with few non-zeros. Whoever passes the checker should be
#            evaluated, converted and inferred as the dense file is.
# Behaviour  the checker accepts the file; ONNX Runtime computes the dense file's answers, for float32, float16 and int8, with linear
#            indices and with coordinates. onnx.reference raises a ValueError when it loads the file. The version converter does not
#            see the weight and says that it is undefined. Strict shape inference gives it a type of its own and refuses the node that reads
#            it. So a sparse file is an end product: convert and check the dense one before.
# Output     checker: ok; onnxruntime: largest difference 0 in 6 of 6 files
#            onnx.reference: ValueError
#            version converter: "Input w is undefined!"
#            shape inference: "Mismatch between inferred and declared type"
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PY'
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

rng = np.random.default_rng(0)
x = rng.normal(size=(2, 6)).astype(np.float32)


def pruned(dtype):
    weight = rng.integers(1, 6, (6, 4)).astype(dtype)
    weight[rng.random((6, 4)) < 0.7] = 0
    return weight


def build(weight, coordinates):
    places = np.flatnonzero(weight)
    if coordinates:
        indices = np.stack(np.unravel_index(places, weight.shape), axis=1)
    else:
        indices = places
    values = numpy_helper.from_array(weight.ravel()[places], "w")
    where = numpy_helper.from_array(np.ascontiguousarray(indices, np.int64), "w_indices")
    nodes = [
        helper.make_node("Cast", ["w"], ["w_float"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w_float"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pruned",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 4])],
    )
    graph.sparse_initializer.append(helper.make_sparse_tensor(values, where, list(weight.shape)))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def raised(function, words):
    try:
        function()
    except Exception as error:
        assert words in str(error), error
        return error
    raise SystemExit("no error any more: " + words)


equal = 0
for dtype in (np.float32, np.float16, np.int8):
    for coordinates in (False, True):
        weight = pruned(dtype)
        model = build(weight, coordinates)
        onnx.checker.check_model(model)
        y = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]
        equal += np.abs(y - x @ weight.astype(np.float32)).max() < 1e-5
print("checker: ok; onnxruntime: largest difference 0 in %d of 6 files" % equal)
assert equal == 6
print("onnx.reference: %s" % type(raised(lambda: ReferenceEvaluator(model), "SparseTensorProto")).__name__)
print('version converter: "%s"' % raised(lambda: onnx.version_converter.convert_version(model, 21), "Input w is undefined!"))
words = "Mismatch between inferred and declared type"
raised(lambda: onnx.shape_inference.infer_shapes(model, strict_mode=True), words)
print('shape inference: "%s"' % words)
PY
