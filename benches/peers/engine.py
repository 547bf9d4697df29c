"""Calcine's engine and ONNX Runtime in turns of 50 ms, on the same networks: prints a table of medians.

    python3 benches/peers/engine.py target/release/examples/run NETWORK.safetensors NETWORK.onnx ...

Each network file is followed by the ONNX file of the same network (`calcine export`, for quantized networks with `--fused`).
Needs ONNX Runtime and NumPy in this Python.
"""

import json
import pathlib
import statistics
import subprocess
import sys

PEER = pathlib.Path(__file__).parents[2] / "crates/calcine-cli/src/bench/onnx_runtime.py"
TURN, TURNS = 0.05, 60


def start(command):
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    # The name or the version, when the network is loaded.
    process.stdout.readline()
    return process


def turn(process):
    process.stdin.write(f"{TURN}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


example, files = sys.argv[1], sys.argv[2:]
print("| network | batch, threads | engine, images/s | ONNX Runtime, images/s | ratio |")
print("|---|---|---|---|---|")
for network, onnx in zip(files[::2], files[1::2]):
    for batch, threads in ((1, 1), (64, 2)):
        sizes = [str(batch), str(threads)]
        both = [start([example, network, *sizes, "turns"]), start([sys.executable, PEER, onnx, *sizes])]
        seconds = [[], []]
        for _ in range(TURNS):
            for process, own in zip(both, seconds):
                own.extend(turn(process))
        for process in both:
            process.stdin.close()
            process.wait()
        own, other = (batch / statistics.median(times) for times in seconds)
        print(f"| {network} | {batch}, {threads} | {own:.0f} | {other:.0f} | {own / other:.2f} |", flush=True)
