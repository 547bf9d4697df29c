"""Quantizes an ONNX file as ONNX Runtime's tools do, in several ways.

usage: quantize_static.py FILE INPUTS LENGTHS FOLDER

INPUTS is a file of raw floats of these lengths, by which ranges are found. Writes FOLDER/NAME.onnx for each way.
"""
import logging
import pathlib
import sys

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

logging.disable(logging.WARNING)


class Reader(CalibrationDataReader):
    def __init__(self, name, batch):
        self.left = [{name: batch[at : at + 1]} for at in range(len(batch))]

    def get_next(self):
        return self.left.pop() if self.left else None


def main(file, inputs, lengths, folder):
    import onnx

    name = onnx.load(file).graph.input[0].name
    batch = np.fromfile(inputs, np.float32).reshape([int(n) for n in lengths.split(",")])
    u8, s8 = QuantType.QUInt8, QuantType.QInt8
    ways = {
        "qdq_uint8_channels": dict(quant_format=QuantFormat.QDQ, activation_type=u8, weight_type=s8, per_channel=True),
        "qdq_int8": dict(quant_format=QuantFormat.QDQ, activation_type=s8, weight_type=s8),
        "qoperator": dict(quant_format=QuantFormat.QOperator, activation_type=u8, weight_type=s8, per_channel=True),
    }
    for way, options in ways.items():
        quantize_static(file, str(pathlib.Path(folder) / f"{way}.onnx"), Reader(name, batch), **options)


if __name__ == "__main__":
    main(*sys.argv[1:])
