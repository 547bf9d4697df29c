"""What `quantize.rs` measures of fake-quantization, in PyTorch: ResNet-50's weights, on 8-bit grids.

Prints one JSON object: milliseconds a case, the median of several rounds.
"""

import json

import torch

from prune_pytorch import begin, milliseconds

STEP = 1.5 / 127


def per_tensor(weight):
    return torch.fake_quantize_per_tensor_affine(weight, STEP, 0, -127, 127)


def per_channel(weight):
    """Steps are found anew each time, as Calcine does."""
    steps = weight.detach().abs().flatten(1).amax(1) / 127
    zeros = torch.zeros(len(steps), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, steps, zeros, 0, -127, 127)


def main():
    arguments, weights = begin()

    def forward():
        with torch.inference_mode():
            return [per_tensor(weight) for weight in weights]

    def both(quantize):
        for weight in weights:
            weight = weight.detach().requires_grad_()
            quantize(weight).sum().backward()

    cases = {
        "per tensor, forward": forward,
        "per tensor, forward and backward": lambda: both(per_tensor),
        "per channel, forward and backward": lambda: both(per_channel),
    }
    report = {"torch": torch.__version__, "threads": arguments.threads}
    for name, run in cases.items():
        report[name] = round(milliseconds(run, arguments.rounds), 1)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
