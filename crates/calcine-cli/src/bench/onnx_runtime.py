"""Runs an ONNX file on zeros, and answers each number of seconds on a line with the seconds of each run of such a turn."""

import json
import sys
import time

import numpy
import onnxruntime

path, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
options.inter_op_num_threads = 1
# Threads that wait for the next run would otherwise take a core from the program whose turn it is.
options.add_session_config_entry("session.force_spinning_stop", "1")
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
types = {"tensor(float)": numpy.float32, "tensor(int64)": numpy.int64, "tensor(bool)": numpy.bool_}
inputs = {
    entry.name: numpy.zeros([n if isinstance(n, int) else batch for n in entry.shape], types[entry.type])
    for entry in session.get_inputs()
}
session.run(None, inputs)
print(onnxruntime.__version__, flush=True)
for line in sys.stdin:
    turn = float(line)
    session.run(None, inputs)
    began, seconds = time.perf_counter(), []
    while not seconds or time.perf_counter() - began < turn:
        start = time.perf_counter()
        session.run(None, inputs)
        seconds.append(time.perf_counter() - start)
    print(json.dumps(seconds), flush=True)
