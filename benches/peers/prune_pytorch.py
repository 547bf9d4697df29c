"""What `structured.rs` measures, in PyTorch: score, select and apply, per grain, on ResNet-50's weights.

Prints one JSON object: milliseconds a case, the median of several rounds, and which way was fastest.

Every case takes weights and gives pruned weights, out of place, as a pruner's mask times the weights.
Where PyTorch offers several ways to find a threshold, all are timed and the fastest counts. Ties are not
broken: all units at the threshold are dropped, where Calcine drops an exact number.
"""

import argparse
import json
import statistics
import time

import numpy
import torch


def resnet50():
    """Shapes of ResNet-50's weights: 25,502,912 in 54 tensors."""
    shapes, width_in = [(64, 3, 7, 7)], 64
    for blocks, width in [(3, 64), (4, 128), (6, 256), (3, 512)]:
        for block in range(blocks):
            shapes += [(width, width_in, 1, 1), (width, width, 3, 3), (4 * width, width, 1, 1)]
            if block == 0:
                shapes.append((4 * width, width_in, 1, 1))
            width_in = 4 * width
    return shapes + [(1000, 2048)]


def by_kthvalue(scores, drop):
    return scores > torch.kthvalue(scores, drop).values


def by_topk(scores, drop):
    keep = torch.zeros_like(scores, dtype=torch.bool)
    keep[torch.topk(scores, scores.numel() - drop, sorted=False).indices] = True
    return keep


def by_sort(scores, drop):
    return scores > torch.sort(scores).values[drop - 1]


def by_numpy_partition(scores, drop):
    return scores > float(numpy.partition(scores.numpy(), drop - 1)[drop - 1])


WAYS = [by_kthvalue, by_topk, by_sort, by_numpy_partition]


def elements(level):
    def prune(weight, select):
        scores = weight.abs().flatten()
        keep = select(scores, int(level * scores.numel()))
        return weight * keep.view_as(weight)

    return prune


def filters(weight, select):
    scores = weight.abs().sum((1, 2, 3))
    return weight * select(scores, scores.numel() // 2).view(-1, 1, 1, 1)


def channels(weight, select):
    scores = weight.abs().sum((0, 2, 3))
    return weight * select(scores, scores.numel() // 2).view(1, -1, 1, 1)


def kernels(weight, select):
    scores = weight.abs().sum((2, 3)).flatten()
    return weight * select(scores, scores.numel() // 2).view(*weight.shape[:2], 1, 1)


def blocks(weight, select):
    out, width_in, height, width = weight.shape
    rows = weight.view(out, width_in // 8, 8, height, width)
    scores = rows.abs().sum(2)
    keep = select(scores.flatten(), scores.numel() // 2).view_as(scores)
    return (rows * keep.unsqueeze(2)).view_as(weight)


def two_of_four(weight, _):
    groups = weight.movedim(1, -1).reshape(-1, 4)
    kept = groups.abs().topk(2, dim=1, sorted=False).indices
    keep = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, kept, True)
    shape = weight.movedim(1, -1).shape
    return weight * keep.view(shape).movedim(-1, 1)


def is_convolution(shape):
    return len(shape) == 4


def has_groups(size):
    return lambda shape: is_convolution(shape) and shape[1] % size == 0


CASES = [
    ("elements 0.5", elements(0.5), lambda _: True, WAYS),
    ("elements 0.8", elements(0.8), lambda _: True, WAYS),
    ("filters 0.5", filters, is_convolution, WAYS),
    ("channels 0.5", channels, is_convolution, WAYS),
    ("kernels 0.5", kernels, is_convolution, WAYS),
    ("blocks 1x8x1x1 0.5", blocks, has_groups(8), WAYS),
    ("2:4", two_of_four, has_groups(4), [None]),
]


def milliseconds(run, rounds):
    run()
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def begin():
    """The command's arguments, taken to heart, and the weights."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    weights = [torch.rand((3, *shape)).sum(0) - 1.5 for shape in resnet50()]
    return arguments, weights


def main():
    arguments, weights = begin()
    report = {"torch": torch.__version__, "numpy": numpy.__version__, "threads": arguments.threads}
    with torch.inference_mode():
        for name, prune, wanted, ways in CASES:
            chosen = [weight for weight in weights if wanted(weight.shape)]

            def time_of(way):
                return milliseconds(lambda: [prune(w, way) for w in chosen], arguments.rounds)

            times = {getattr(way, "__name__", "by_topk"): time_of(way) for way in ways}
            fastest = min(times, key=times.get)
            report[name] = {"ms": round(times[fastest], 1), "way": fastest}
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
