"""Runs ONNX files in ONNX Runtime or OpenVINO.

usage: run.py ENGINE JOBS

ENGINE is onnxruntime or openvino; JOBS is a JSON file with a list of jobs: {"file", "input", "shape", "batch", "output", "options"}.
Each reads raw 32-bit floats of that shape and runs them in batches of so many; the first output goes to a file of raw 32-bit floats.
Prints one JSON object for each job: {"shape", "kernels", "seconds"}, or {"error"}.
"""
import json
import pathlib
import sys
import tempfile
import time
from collections import Counter

import numpy as np
import onnx


def onnxruntime_session(job):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for key, value in job.get("options", {}).items():
        options.add_session_config_entry(key, value)
    with tempfile.TemporaryDirectory() as folder:
        optimized = pathlib.Path(folder, "optimized.onnx")
        options.optimized_model_filepath = str(optimized)
        session = onnxruntime.InferenceSession(job["file"], options, providers=["CPUExecutionProvider"])
        model = onnx.load(optimized)
    kernels = Counter(node.op_type for node in model.graph.node)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0], kernels


def openvino_session(job):
    import openvino

    core = openvino.Core()
    options = {"PERFORMANCE_HINT": "LATENCY", **job.get("options", {})}
    compiled = core.compile_model(core.read_model(job["file"]), "CPU", options)
    kernels = Counter()
    for op in compiled.get_runtime_model().get_ops():
        info = op.get_rt_info()
        kernels[f"{info['layerType'].astype(str)}.{info['runtimePrecision'].astype(str)}"] += 1
    return lambda x: compiled(x)[0], kernels


def run(engine, job):
    onnx.checker.check_model(job["file"], full_check=True)
    session, kernels = {"onnxruntime": onnxruntime_session, "openvino": openvino_session}[engine](job)
    x = np.fromfile(job["input"], dtype=np.float32).reshape(job["shape"])
    session(x[: job["batch"]])
    begun = time.perf_counter()
    parts = [session(x[start : start + job["batch"]]) for start in range(0, len(x), job["batch"])]
    seconds = time.perf_counter() - begun
    output = np.ascontiguousarray(np.concatenate(parts), dtype=np.float32)
    output.tofile(job["output"])
    return {"shape": output.shape, "kernels": kernels, "seconds": seconds}


def main(engine, jobs):
    for job in json.loads(pathlib.Path(jobs).read_text()):
        try:
            print(json.dumps(run(engine, job)), flush=True)
        except Exception as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
