"""Quantizes networks of a folder with ONNX Runtime's own tool, to compare the error of 8 bits with that of `cargo xtask zoo-table FOLDER`.

usage: quantize_onnxruntime.py FOLDER NAME ...

The folder is one that export_torchvision.py has written. `quantize_static` takes the same calibration images, 8-bit affine activations with min-max
ranges and symmetric weights with a scale for each channel. Prints the signal-to-quantization-noise ratio of the first output, of ONNX Runtime's outputs for
the two test images.
"""
import pathlib
import sys
import tempfile

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process


class Images(CalibrationDataReader):
    def __init__(self, images):
        self.images = iter(images)

    def get_next(self):
        image = next(self.images, None)
        return None if image is None else {"x": image[None]}


def first_output(file, x):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0].astype(np.float64)


def sqnr(folder, name):
    file = folder / f"{name}.b.onnx"
    size = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).get_inputs()[0].shape[2]
    x, calibration = (
        np.fromfile(folder / f"{name}.{kind}.bin", np.float32).reshape(-1, 3, size, size) for kind in ("x", "cal")
    )
    with tempfile.TemporaryDirectory() as scratch:
        prepared, quantized = pathlib.Path(scratch, "prepared.onnx"), pathlib.Path(scratch, "quantized.onnx")
        quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared), str(quantized), Images(calibration), quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )
        y, z = first_output(file, x), first_output(quantized, x)
    return 10 * np.log10((y**2).sum() / ((y - z) ** 2).sum())


for name in sys.argv[2:]:
    print(f"{name}: {sqnr(pathlib.Path(sys.argv[1]), name):.1f} dB", flush=True)
