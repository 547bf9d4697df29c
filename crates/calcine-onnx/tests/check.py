"""Checks ONNX files with onnx.checker and runs them in ONNX Runtime.

usage: check.py JOBS

JOBS has a line for each file: its path, the folder for its outputs, and its inputs as PATH:TYPE:LENGTHS (of raw little-endian
numbers), separated by tabs. Output number i is written to the folder as i.TYPE, its lengths as i.shape.
"""
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

# Larger batches are run in parts.
BATCH = 200
TYPES = {"float32": np.float32, "int64": np.int64, "bool": np.bool_, "uint8": np.uint8}


def tensor(text):
    path, kind, lengths = text.rsplit(":", 2)
    shape = [int(length) for length in lengths.split(",")] if lengths else []
    return np.fromfile(path, dtype=TYPES[kind]).reshape(shape)


def main(jobs):
    for line in pathlib.Path(jobs).read_text().splitlines():
        file, folder, *inputs = line.split("\t")
        onnx.checker.check_model(file, full_check=True)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]
        inputs = dict(zip(names, map(tensor, inputs), strict=True))
        images = min(len(value) if value.ndim else 0 for value in inputs.values())
        starts = range(0, images, BATCH) if images > BATCH else [0]
        pieces = [{k: v[s : s + BATCH] if images > BATCH else v for k, v in inputs.items()} for s in starts]
        results = [session.run(None, piece) for piece in pieces]
        for number, parts in enumerate(zip(*results)):
            output = np.ascontiguousarray(np.concatenate(parts) if len(parts) > 1 else parts[0])
            output.tofile(f"{folder}/{number}.{output.dtype}")
            pathlib.Path(f"{folder}/{number}.shape").write_text(",".join(map(str, output.shape)))


if __name__ == "__main__":
    main(sys.argv[1])
