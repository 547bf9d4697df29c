"""Writes checkpoints of one small network as PyTorch writes them in its usual wrappings, and the weights that they stand for.

Needs torch and safetensors. Run in this directory.
"""

import copy
import pathlib

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune
from torch.nn.utils.parametrizations import weight_norm


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 2, bias=False)
        self.norm = nn.BatchNorm2d(3)
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).mean((2, 3)))


def plain(net):
    """The state of a network without wrappers, with weights as they are computed with."""
    state = {}
    for name, module in net.named_children():
        for key in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(module, key, None)
            if value is not None:
                state[f"{name}.{key}"] = value.detach().float().contiguous()
    return state


def main():
    torch.manual_seed(16)
    net = Net().train()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
    net(torch.randn(4, 2, 5, 5)).sum().backward()
    optimizer.step()
    folder = pathlib.Path("torch")
    folder.mkdir(exist_ok=True)
    save_file(plain(net), "torch/expected.safetensors")
    state = net.state_dict()
    parallel = nn.DataParallel(net).state_dict()
    compiled = {f"_orig_mod.{key}": value for key, value in state.items()}
    averaged = torch.optim.swa_utils.AveragedModel(net).state_dict()
    files = {
        "state": state,
        "parallel": {"epoch": 3, "state_dict": parallel, "optimizer": optimizer.state_dict()},
        "compiled": {"model": compiled, "lr_scheduler": {"last_epoch": 2}},
        "averaged": averaged,
        "net": {"net": state, "acc": 91.5},
        "ema": {"ema": {f"module.{key}": value for key, value in state.items()}, "updates": 7},
        "model_state_dict": {"model_state_dict": state, "loss": torch.tensor(0.5)},
        "lightning": {"state_dict": {f"model.{key}": value for key, value in state.items()}, "pytorch-lightning_version": "2.5"},
        "halves": {"state_dict": {key: value.bfloat16() if value.is_floating_point() else value for key, value in state.items()}},
        "channels_last": {key: value.to(memory_format=torch.channels_last) if value.dim() == 4 else value for key, value in state.items()},
    }
    for name, value in files.items():
        torch.save(value, f"torch/{name}.pth")
    torch.save({"state_dict": state}, "torch/legacy.pth", _use_new_zipfile_serialization=False)

    pruned = copy.deepcopy(net)
    prune.l1_unstructured(pruned.fc, "weight", 0.5)
    prune.ln_structured(pruned.conv, "weight", 0.34, n=2, dim=0)
    torch.save({"model": pruned.state_dict()}, "torch/pruned.pth")
    masks = {"fc.weight": pruned.fc.weight_mask, "conv.weight": pruned.conv.weight_mask}
    save_file({**plain(pruned), **{f"{key}_mask": value.contiguous() for key, value in masks.items()}}, "torch/pruned-expected.safetensors")

    for name, wrap in (("weight_norm_old", torch.nn.utils.weight_norm), ("weight_norm_new", weight_norm)):
        normed = copy.deepcopy(net)
        wrap(normed.conv)
        wrap(normed.fc, dim=1)
        torch.save(normed.state_dict(), f"torch/{name}.pth")


main()
