"""What `step.rs` measures of a training step of ResNet-20 at batch 128, in PyTorch: milliseconds, the median of several steps.

With the program of that bench as its argument, both are run in turns, and the ratio of the medians is printed. Shortcuts
take every second position and pad channels with zeros, as in `calcine_zoo::ResNet`.
"""

import os
import re
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional

BATCH, STEPS, ROUNDS = 128, 9, 3


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.stride = outputs // inputs
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        if self.stride > 1:
            more = y.shape[1] - x.shape[1]
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, more // 2, more - more // 2))
        return functional.relu(y + x)


def resnet20():
    blocks, inputs = [], 16
    for outputs in (16, 32, 64):
        for _ in range(3):
            blocks.append(Block(inputs, outputs))
            inputs = outputs
    first = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def measured(order):
    """Milliseconds of a step of the same batch."""
    torch.manual_seed(0)
    model = resnet20().to(memory_format=order)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.full((BATCH, 3, 32, 32), 0.1).contiguous(memory_format=order)
    y = torch.zeros(BATCH, dtype=torch.long)
    times = []
    for _ in range(STEPS + 2):
        began = time.perf_counter()
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[2:])


def calcine(program):
    environment = dict(os.environ, RAYON_NUM_THREADS="2")
    printed = subprocess.run([program, "--bench"], env=environment, check=True, capture_output=True, text=True)
    return float(re.search(r"network +([0-9.]+) ms", printed.stdout)[1])


def main():
    torch.set_num_threads(2)
    rounds = []
    for _ in range(ROUNDS if sys.argv[1:] else 1):
        last, first = measured(torch.channels_last), measured(torch.contiguous_format)
        rounds.append([last, first] + [calcine(program) for program in sys.argv[1:2]])
        print("channels last, channels first, Calcine [ms]:", *(f"{each:.1f}" for each in rounds[-1]))
    if sys.argv[1:]:
        ratio = statistics.median(own / last for last, _, own in rounds)
        print(f"Calcine / PyTorch, channels last: {ratio:.2f}")


if __name__ == "__main__":
    main()
