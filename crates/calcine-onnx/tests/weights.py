"""Compares the tensors of two safetensors files: names, shapes and values, without the counters of batch norms.

usage: weights.py ONE OTHER

Prints the number of tensors.
"""
import json
import struct
import sys

import numpy as np


def tensors(file):
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


one, other = map(tensors, sys.argv[1:])
assert one.keys() == other.keys(), one.keys() ^ other.keys()
for name in one:
    assert one[name].shape == other[name].shape, (name, one[name].shape, other[name].shape)
    assert np.array_equal(one[name], other[name]), name
print(len(one))
