"""Writes tiny data sets as torchvision and NumPy leave them, and what torchvision reads from them.

Needs torch, torchvision and safetensors. Pixels are random but for the image files, which are smooth, so that JPEG keeps
them. Run in this directory.
"""

import gzip
import pathlib
import pickle
import struct
import tarfile

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision import transforms
from torchvision.datasets import ImageFolder

random = np.random.default_rng(16)


def cifar100():
    """Two training images and a test image, in both packings; the archive has the one for Python."""
    for inner in ("cifar-100-python", "cifar-100-binary"):
        pathlib.Path("cifar100", inner).mkdir(parents=True, exist_ok=True)
    for name, n in (("train", 2), ("test", 1)):
        pixels = random.integers(0, 256, (n, 1), dtype=np.uint8).repeat(3072, axis=1)
        fine, coarse = ([3, 99][:n], [0, 19][:n])
        batch = {"filenames": ["a.png"] * n, "batch_label": name, "fine_labels": fine, "coarse_labels": coarse, "data": pixels}
        with open(f"cifar100/cifar-100-python/{name}", "wb") as file:
            pickle.dump(batch, file, protocol=2)
        with open(f"cifar100/cifar-100-binary/{name}.bin", "wb") as file:
            for i in range(n):
                file.write(bytes([coarse[i], fine[i]]) + pixels[i].tobytes())
    with open("cifar100/cifar-100-python/meta", "wb") as file:
        pickle.dump({"fine_label_names": [], "coarse_label_names": []}, file, protocol=2)
    with tarfile.open("cifar100/cifar-100-python.tar.gz", "w:gz") as tar:
        tar.add("cifar100/cifar-100-python", arcname="cifar-100-python")


def mnist():
    """Three training images and a test image, plain and compressed, as in MNIST/raw."""
    raw = pathlib.Path("mnist/MNIST/raw")
    raw.mkdir(parents=True, exist_ok=True)
    for name, n in (("train", 3), ("t10k", 1)):
        images = random.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        labels = np.arange(n, dtype=np.uint8) + 4
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, n, 28, 28) + images.tobytes())
        with gzip.open(raw / f"{name}-labels-idx1-ubyte.gz", "wb") as file:
            file.write(struct.pack(">II", 0x801, n) + labels.tobytes())
        if name == "train":
            save_file({"images": torch.from_numpy(images), "labels": torch.from_numpy(labels)}, "mnist/expected.safetensors")


def smooth(height, width, channels, phase):
    """Waves, as bytes of shape [height, width, channels]."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [128 + 100 * np.sin(x / (9 + c) + phase) * np.cos(y / (7 + 2 * c)) for c in range(channels)]
    return np.stack(planes, axis=-1).round().astype(np.uint8)


def folder():
    """Images of all modes in two classes, with what torchvision makes of them."""
    kinds = {
        "cat/rgb.png": ("RGB", 48, 64),
        "cat/tall.JPG": ("RGB", 70, 45),
        "cat/inner/alpha.png": ("RGBA", 40, 40),
        "dog/grey.jpeg": ("L", 50, 61),
        "dog/grey.png": ("L", 33, 37),
        "dog/palette.png": ("P", 45, 52),
        "dog/small.png": ("RGB", 20, 31),
    }
    for split, shift in (("train", 0.0), ("val", 1.0)):
        for number, (name, (mode, height, width)) in enumerate(kinds.items()):
            path = pathlib.Path("folder", split, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            channels = {"RGB": 3, "RGBA": 4, "L": 1, "P": 3}[mode]
            pixels = smooth(height, width, channels, number + shift)
            image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels)
            if mode == "P":
                image = image.quantize(32)
            image.save(path, **({"quality": 92} if path.suffix.lower() in (".jpg", ".jpeg") else {}))
    steps = [
        transforms.Resize(36),
        transforms.CenterCrop(32),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    found = ImageFolder("folder/val", transforms.Compose(steps))
    images, labels = zip(*found)
    save_file(
        {"images": torch.stack(images), "labels": torch.tensor(labels)},
        "folder-expected.safetensors",
        {"names": " ".join(str(pathlib.Path(path).relative_to("folder/val")) for path, _ in found.samples)},
    )


def arrays():
    """The same numbers in every form and type."""
    pathlib.Path("arrays/npy").mkdir(parents=True, exist_ok=True)
    x = np.arange(60, dtype=np.float64).reshape(5, 3, 4) / 8
    y = np.array([0, 2, 1, 0, 2])
    np.savez_compressed("arrays/whole.npz", x=x, y=y)
    np.savez("arrays/splits.npz", x_train=x.astype(np.float16), y_train=y.reshape(5, 1), x_test=x[:2], y_test=y[:2])
    np.save("arrays/npy/inputs.npy", np.asfortranarray(x.astype(">f4")))
    np.save("arrays/npy/targets.npy", (x.sum(axis=(1, 2)) / 4).astype(np.float32))
    save_file({"inputs": torch.from_numpy(x).bfloat16(), "targets": torch.from_numpy(y).int()}, "arrays/whole.safetensors")
    images = random.integers(0, 256, (4, 6, 5, 3), dtype=np.uint8)
    np.savez("arrays/images.npz", images=images, labels=np.array([1, 0, 1, 1], dtype=np.uint8))
    save_file({"images": torch.from_numpy(images.transpose(0, 3, 1, 2).copy())}, "arrays/images-expected.safetensors")


cifar100()
mnist()
folder()
arrays()
