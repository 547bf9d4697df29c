"""Calcine's engine, Burn and ONNX Runtime in turns, on several networks: prints a table.

    python3 benches/peers/engine.py target/release/calcine resnet20 mobilenet_v2.onnx ...

MODEL is what `calcine bench` takes. Needs ONNX Runtime and NumPy in this Python.
"""

import json
import os
import subprocess
import sys

calcine, models = sys.argv[1], sys.argv[2:]
peers = os.environ.get("PEERS", "onnxruntime")
print(f"| network | form | batch, threads | calcine, images/s | {peers}, images/s | ratio |")
print("|---|---|---|---|---|---|")
for model in models:
    for form in ("int8", "float"):
        for batch, threads in ((1, 1), (64, 2)):
            command = [calcine, "bench", model, "--form", form, "--with", peers, "--json"]
            command += ["--batch", str(batch), "--threads", str(threads)]
            environment = {**os.environ, "PYTHON": sys.executable}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                print(f"| {model} | {form} | {batch}, {threads} | {done.stderr.strip().splitlines()[-1]} | | |")
                continue
            report = json.loads(done.stdout.strip().splitlines()[-1])
            own, others = report["images_per_second"], report["with"]
            rates = ", ".join(f"{other['images_per_second']:.0f}" for other in others)
            ratios = ", ".join(f"{own / other['images_per_second']:.2f}" for other in others)
            print(f"| {model} | {form} | {batch}, {threads} | {own:.0f} | {rates} | {ratios} |", flush=True)
