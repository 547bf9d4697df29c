"""Exports torchvision's classification models to ONNX, with inputs and ONNX Runtime's outputs, for `cargo xtask zoo-table`.

usage: export_torchvision.py FOLDER [NAME ...]

Needs torch, torchvision, onnx, onnxscript and onnxruntime. Weights are random and seeded; batch norms have the statistics of one batch. The
models are exported by the TorchScript exporter, which keeps batch norms and names, from the smallest to the largest. For each model:
NAME.b.onnx, NAME.x.bin (two inputs), NAME.cal.bin (eight inputs), NAME.b.y0.bin (the outputs of the two).
"""
import contextlib
import io
import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
import torch
import torchvision.models as models

# Small images, where the model allows them.
SIZES = {"vit": 224, "maxvit": 224, "vgg": 224, "alexnet": 224, "inception": 96, "squeezenet": 96}

# How much of a norm's statistics is that of the batch. EfficientNets and the deepest ResNets with nothing but the statistics of a few small images are
# so badly conditioned that ONNX Runtime's own optimizations change their outputs by more than 1e-4.
MOMENTA = {"efficientnet": 0.5, "resnet101": 0.5, "resnet152": 0.5, "resnext101": 0.5, "wide_resnet101": 0.5}


def size_of(name):
    return next((size for start, size in SIZES.items() if name.startswith(start)), 64)


def build(name):
    torch.manual_seed(0)
    options = {"aux_logits": False, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    model = models.get_model(name, weights=None, **options)
    size = size_of(name)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = next((momentum for start, momentum in MOMENTA.items() if name.startswith(start)), 1.0)
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, std=0.1)
    if norms:
        with torch.no_grad():
            model.train()(torch.randn(4, 3, size, size))
    return model.eval(), size


def parameters(name):
    return models.get_model_weights(name).DEFAULT.meta["num_params"]


def main(folder, names):
    warnings.filterwarnings("ignore")
    torch.backends.mha.set_fastpath_enabled(False)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    names = names or sorted(models.list_models(module=models), key=parameters)
    for name in names:
        path = folder / f"{name}.b.onnx"
        if path.exists():
            continue
        model, size = build(name)
        x, calibration = torch.randn(2, 3, size, size), torch.randn(8, 3, size, size)
        part = folder / f"{name}.part"
        with contextlib.redirect_stdout(io.StringIO()):
            torch.onnx.export(
                model, (x,), str(part), dynamo=False, opset_version=17, input_names=["x"], output_names=["y"],
                dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}}, do_constant_folding=False,
                training=torch.onnx.TrainingMode.PRESERVE,
            )
        session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
        (y,) = session.run(None, {"x": x.numpy()})
        x.numpy().astype(np.float32).tofile(folder / f"{name}.x.bin")
        calibration.numpy().astype(np.float32).tofile(folder / f"{name}.cal.bin")
        y.astype(np.float32).tofile(folder / f"{name}.b.y0.bin")
        part.rename(path)
        print(name, path.stat().st_size, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
