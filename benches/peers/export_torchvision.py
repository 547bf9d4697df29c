"""Exports torchvision's models to ONNX, with inputs and ONNX Runtime's outputs, for `cargo xtask zoo-table FOLDER`.

usage: export_torchvision.py FOLDER [NAME ...]

Without names, exports all classification models, the segmentation models with their heads, and the backbones of the detection models,
from the smallest to the largest. Needs torch, torchvision, onnx, onnxscript and onnxruntime. Weights are random and seeded. The models are exported by
the TorchScript exporter, which keeps batch norms and names. For each model: NAME.b.onnx, NAME.x.bin (two images), NAME.cal.bin (eight images),
NAME.b.y0.bin, ... (the outputs for the two images). Files that are there already are kept.

A network whose weights are drawn at random amplifies every disturbance, in each layer a little: at 50 layers, noise of 0.5 % of the input
has grown to a quarter of the output, and the rounding errors of 8 bits drown it. Trained networks do not do that. Therefore the biases of
batch norms are drawn from 0 to 2, so that most activations are in the linear part of the ReLU, and the statistics of batch norms are
those of sixteen images of different contrast and colour.
"""
import contextlib
import io
import pathlib
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision.models as models

# Small images, where the model allows them.
SIZES = {
    "alexnet": 224, "inception": 96, "maxvit": 224, "squeezenet": 96, "ssd300": 300, "ssdlite": 128, "vgg": 224, "vit_h": 112, "vit": 96,
    "fasterrcnn": 128, "fcos": 128, "keypointrcnn": 128, "maskrcnn": 128, "retinanet": 128,
}
OPTIONS = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
    "vit_h_14": {"image_size": 112},
    **{f"vit_{size}_{patch}": {"image_size": 96} for size in "bl" for patch in (16, 32)},
}
# The most bytes of a file; weights of larger models lie beside it.
LARGEST = 2**31 - 2**26


class Outputs(torch.nn.Module):
    """The outputs of a model that names them, as a tuple."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return tuple(self.model(x).values())


def images(count, size, generator):
    """Images with structure at several scales, of different contrast, brightness and colour."""
    image = 0.1 * torch.randn(count, 3, size, size, generator=generator)
    for cells, strength in ((2, 1.0), (4, 0.7), (8, 0.5), (16, 0.35), (32, 0.25)):
        pattern = torch.randn(count, 3, cells, cells, generator=generator)
        image += strength * torch.nn.functional.interpolate(pattern, size=(size, size), mode="bilinear")
    contrast = 0.5 + torch.rand(count, 1, 1, 1, generator=generator)
    return image * contrast + 0.3 * torch.randn(count, 3, 1, 1, generator=generator)


def fill(model):
    """Draws the parameters that torchvision sets to constants, so that each of them has an effect that a test can see."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, 0.0, 2.0)
        elif isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm)):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.1)
    for name, parameter in model.named_parameters():
        if name.endswith("layer_scale"):
            torch.nn.init.uniform_(parameter, 0.1, 0.5)
        elif torch.all(parameter == 0):
            torch.nn.init.normal_(parameter, std=0.02)


def build(name):
    torch.manual_seed(0)
    options = OPTIONS.get(name, {})
    kind = models.get_model_builder(name).__module__
    if "segmentation" in kind or "detection" in kind:
        options = {"weights_backbone": None}
    model = models.get_model(name, weights=None, **options)
    if "detection" in kind:
        model = Outputs(model.backbone)
    elif "segmentation" in kind:
        model = Outputs(model)
    fill(model)
    size = next((size for start, size in SIZES.items() if name.startswith(start)), 64)
    generator = torch.Generator().manual_seed(1)
    if any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules()):
        with torch.no_grad():
            model.train()(images(16, size, generator))
    return model.eval(), images(2, size, generator), images(8, size, generator)


def parameters(name):
    return models.get_model_weights(name).DEFAULT.meta["num_params"]


def names_of_all():
    modules = (models, models.segmentation, models.detection)
    return sorted((name for module in modules for name in models.list_models(module=module)), key=parameters)


def export(name, folder):
    path = folder / f"{name}.b.onnx"
    model, x, calibration = build(name)
    with torch.no_grad():
        y = model(x)
    outputs = [f"y{number}" for number in range(len(y) if isinstance(y, tuple) else 1)]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        part = pathlib.Path(scratch, path.name)
        with contextlib.redirect_stdout(io.StringIO()):
            torch.onnx.export(
                model, (x,), str(part), dynamo=False, opset_version=17, input_names=["x"], output_names=outputs,
                dynamic_axes={value: {0: "batch"} for value in ["x", *outputs]}, do_constant_folding=False,
                training=torch.onnx.TrainingMode.PRESERVE,
            )
        session = onnxruntime.InferenceSession(str(part), providers=["CPUExecutionProvider"])
        for number, y in enumerate(session.run(None, {"x": x.numpy()})):
            y.astype(np.float32).tofile(folder / f"{name}.b.y{number}.bin")
        del session
        x.numpy().tofile(folder / f"{name}.x.bin")
        calibration.numpy().tofile(folder / f"{name}.cal.bin")
        if sum(parameter.nbytes for parameter in model.parameters()) > LARGEST:
            # The exporter writes a file for each parameter.
            onnx.save_model(
                onnx.load(part), path, save_as_external_data=True, all_tensors_to_one_file=True, location=path.name + ".data",
            )
        else:
            part.rename(path)
    print(name, path.stat().st_size, flush=True)


def main(folder, names):
    warnings.filterwarnings("ignore")
    torch.backends.mha.set_fastpath_enabled(False)
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or names_of_all():
        if not (folder / f"{name}.b.onnx").exists():
            export(name, folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
