"""Writes the tests of single operators that are part of the Python package onnx.

usage: node_tests.py FOLDER

Each test is a folder: model.onnx, the tensors of test_data_set_0 (input_0.pb, output_0.pb, …), and `tolerance` with the relative
and the absolute difference from the expected outputs that the test allows: the test's own, or two steps of the output's type if these are more.
"""
import pathlib
import sys
import warnings

import ml_dtypes
import numpy as np
from onnx import TensorProto, numpy_helper
from onnx.backend.test.case.node import collect_testcases


def tensor(value, name):
    if isinstance(value, TensorProto):
        return value
    return numpy_helper.from_array(np.asarray(value), name)


def coarseness(value):
    kind = numpy_helper.to_array(value).dtype if isinstance(value, TensorProto) else np.asarray(value).dtype
    try:
        return float(ml_dtypes.finfo(kind).eps)
    except ValueError:
        return 0.0


def main(folder):
    warnings.filterwarnings("ignore")
    for case in collect_testcases(None):
        if not case.data_sets:
            continue
        path = pathlib.Path(folder) / case.name
        data = path / "test_data_set_0"
        data.mkdir(parents=True, exist_ok=True)
        (path / "model.onnx").write_bytes(case.model.SerializeToString())
        graph = case.model.graph
        inputs, outputs = case.data_sets[0]
        eps = 0.0
        for kind, infos, values in (("input", graph.input, inputs), ("output", graph.output, outputs)):
            for number, (info, value) in enumerate(zip(infos, values)):
                if not info.type.HasField("tensor_type"):
                    continue
                (data / f"{kind}_{number}.pb").write_bytes(tensor(value, info.name).SerializeToString())
                if kind == "output":
                    eps = max(eps, 2 * coarseness(value))
        (path / "tolerance").write_text(f"{max(case.rtol, eps)} {case.atol}\n")


if __name__ == "__main__":
    main(sys.argv[1])
