"""What `train.rs` measures, in PyTorch: a training step of each network at batch 128, in milliseconds, the median of several steps.

With the program of that bench as its argument, both are run in turns, and the ratios of the medians are printed. The networks are those of
`calcine_zoo`.
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


def convolution(inputs, outputs, size, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        stride = outputs // inputs
        self.conv1, self.bn1 = convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = convolution(outputs, outputs, 3), nn.BatchNorm2d(outputs)
        self.downsample = nn.Identity()
        if stride > 1:
            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


def resnet(depth):
    blocks, inputs = [], 16
    for outputs in (16, 32, 64):
        for _ in range((depth - 2) // 6):
            blocks.append(Block(inputs, outputs))
            inputs = outputs
    first = [convolution(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def activated(inputs, outputs, size, stride=1, groups=1):
    return [convolution(inputs, outputs, size, stride, groups), nn.BatchNorm2d(outputs), nn.ReLU6()]


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, expansion, stride):
        super().__init__()
        width = inputs * expansion
        layers = activated(inputs, width, 1) if expansion > 1 else []
        layers += activated(width, width, 3, stride, width)
        self.layers = nn.Sequential(*layers, convolution(width, outputs, 1), nn.BatchNorm2d(outputs))
        self.adds_input = stride == 1 and inputs == outputs

    def forward(self, x):
        y = self.layers(x)
        return x + y if self.adds_input else y


def mobilenet_v2():
    layers, inputs = activated(3, 32, 3), 32
    stages = [(1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expansion, outputs, blocks, stride in stages:
        for block in range(blocks):
            layers.append(Inverted(inputs, outputs, expansion, stride if block == 0 else 1))
            inputs = outputs
    layers += activated(inputs, 1280, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 10))


NETWORKS = {"resnet20": lambda: resnet(20), "resnet56": lambda: resnet(56), "mobilenet_v2": mobilenet_v2}


def measured(build, order):
    """Milliseconds of a step of the same batch."""
    torch.manual_seed(0)
    model = build().to(memory_format=order)
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
    """Milliseconds of each network. The allocator keeps freed memory, as in the reference runs."""
    environment = dict(os.environ, RAYON_NUM_THREADS="2", MIMALLOC_PURGE_DELAY="-1")
    printed = subprocess.run([program, "--bench"], env=environment, check=True, capture_output=True, text=True)
    return {name: float(time) for name, time in re.findall(r"^ +(\w+) +([0-9.]+) ms$", printed.stdout, re.M)}


def main():
    torch.set_num_threads(2)
    ratios = {name: [] for name in NETWORKS}
    for _ in range(ROUNDS):
        own = calcine(sys.argv[1]) if sys.argv[1:] else {}
        for name, build in NETWORKS.items():
            last, first = measured(build, torch.channels_last), measured(build, torch.contiguous_format)
            print(f"{name}: PyTorch {last:.1f} ms channels last, {first:.1f} ms channels first, Calcine {own.get(name)} ms")
            if own:
                ratios[name].append(own[name] / last)
    for name, all_ratios in ratios.items():
        if all_ratios:
            print(f"{name}: Calcine / PyTorch, channels last: {statistics.median(all_ratios):.2f}")


if __name__ == "__main__":
    main()
