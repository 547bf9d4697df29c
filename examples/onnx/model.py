"""Writes model.onnx: a small residual network with weights drawn by seed. Needs `pip install onnx numpy`."""

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

draw = numpy.random.default_rng(0)
nodes, weights = [], []


def weight(name, *shape, fan_in=1):
    values = draw.standard_normal(shape, dtype=numpy.float32) / numpy.float32(fan_in**0.5)
    weights.append(numpy_helper.from_array(values, name))
    return name


def positive(name, count):
    values = draw.uniform(0.5, 1.5, count).astype(numpy.float32)
    weights.append(numpy_helper.from_array(values, name))
    return name


def node(kind, name, inputs, **attributes):
    nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
    return name


def conv(name, x, inputs, outputs):
    kernel = weight(f"{name}.weight", outputs, inputs, 3, 3, fan_in=9 * inputs)
    return node("Conv", name, [x, kernel], kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def norm(name, x, channels):
    statistics = [
        positive(f"{name}.scale", channels),
        weight(f"{name}.bias", channels),
        weight(f"{name}.mean", channels),
        positive(f"{name}.variance", channels),
    ]
    # burn-onnx has no default for epsilon.
    return node("BatchNormalization", name, [x, *statistics], epsilon=1e-5)


stem = node("Relu", "stem.relu", [norm("stem.norm", conv("stem", "image", 3, 16), 16)])
pooled = node("MaxPool", "pool", [stem], kernel_shape=[2, 2], strides=[2, 2])
inner = node("Relu", "first.relu", [norm("first.norm", conv("first", pooled, 16, 16), 16)])
outer = norm("second.norm", conv("second", inner, 16, 16), 16)
block = node("Relu", "sum.relu", [node("Add", "sum", [outer, pooled])])
features = node("Flatten", "flat", [node("GlobalAveragePool", "mean", [block])])
head = [features, weight("head.weight", 10, 16, fan_in=16), weight("head.bias", 10)]
node("Gemm", "logits", head, transB=1)

graph = helper.make_graph(
    nodes,
    "residual",
    [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
    [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
    weights,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
onnx.checker.check_model(model)
onnx.save(model, "model.onnx")
