"""Compares the tensors of two safetensors files: names, shapes and values, without the counters of batch norms.

usage: weights.py ONE OTHER

The files are read by PyTorch (`safetensors.torch.load_file`) where torch and safetensors are installed, and by NumPy elsewhere. Prints the number
of tensors, and which of the two read them.
"""
import importlib.util
import json
import struct
import sys

import numpy as np


def by_torch(file):
    from safetensors.torch import load_file

    found = {}
    for name, tensor in load_file(file).items():
        if not name.endswith("num_batches_tracked"):
            assert str(tensor.dtype) == "torch.float32", (name, tensor.dtype)
            found[name] = tensor.numpy()
    return found


def by_numpy(file):
    with open(file, "rb") as opened:
        data = opened.read()
    (length,) = struct.unpack("<Q", data[:8])
    header, rest = json.loads(data[8 : 8 + length]), data[8 + length :]
    found = {}
    for name, entry in header.items():
        if name == "__metadata__" or name.endswith("num_batches_tracked"):
            continue
        start, end = entry["data_offsets"]
        assert entry["dtype"] == "F32", (name, entry["dtype"])
        found[name] = np.frombuffer(rest[start:end], "<f4").reshape(entry["shape"])
    return found


has_torch = all(importlib.util.find_spec(package) for package in ("torch", "safetensors"))
one, other = map(by_torch if has_torch else by_numpy, sys.argv[1:])
assert one.keys() == other.keys(), one.keys() ^ other.keys()
for name in one:
    assert one[name].shape == other[name].shape, (name, one[name].shape, other[name].shape)
    assert np.array_equal(one[name], other[name]), name
print(len(one), "torch" if has_torch else "numpy")
