"""Writes two checkpoints: legacy.pth as torch.save wrote it before PyTorch 1.6, zip.pth.tar as since.

Needs Python only. Their `state_dict`: weights of Linear(3, 2) `module.fc` and BatchNorm1d(2) `module.norm`, numbered
1, 2, 3, ... in the order of the file.
"""

import collections
import io
import pickle
import struct
import sys
import types
import zipfile

torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
sys.modules.update({"torch": torch, "torch._utils": utils})


class FloatStorage:
    code = "f"


class LongStorage:
    code = "q"


def _rebuild_tensor_v2(*_):
    """Named in the file, never called."""


for kind in (FloatStorage, LongStorage):
    kind.__module__, kind.__qualname__ = "torch", kind.__name__
    setattr(torch, kind.__name__, kind)
_rebuild_tensor_v2.__module__ = "torch._utils"
utils._rebuild_tensor_v2 = _rebuild_tensor_v2


class Storage:
    def __init__(self, key, kind, values):
        self.key, self.kind, self.values = key, kind, values


class Tensor:
    def __init__(self, storage, shape):
        self.storage, self.shape = storage, shape

    def __reduce__(self):
        stride, step = [], 1
        for side in reversed(self.shape):
            stride.insert(0, step)
            step *= side
        hooks = collections.OrderedDict()
        return _rebuild_tensor_v2, (self.storage, 0, self.shape, tuple(stride), False, hooks)


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        if isinstance(value, Storage):
            return ("storage", value.kind, value.key, "cpu", len(value.values), None)
        return None


def main():
    shapes = {
        "module.fc.weight": (2, 3),
        "module.fc.bias": (2,),
        "module.norm.weight": (2,),
        "module.norm.bias": (2,),
        "module.norm.running_mean": (2,),
        "module.norm.running_var": (2,),
        "module.norm.num_batches_tracked": (),
    }
    state, storages, last = collections.OrderedDict(), [], 0
    for name, shape in shapes.items():
        count = 1
        for side in shape:
            count *= side
        kind = LongStorage if name.endswith("tracked") else FloatStorage
        storages.append(Storage(str(len(storages)), kind, range(last + 1, last + count + 1)))
        state[name] = Tensor(storages[-1], shape)
        last += count
    checkpoint = {"epoch": 3, "arch": "tiny", "state_dict": state}
    raw = [struct.pack(f"<{len(s.values)}{s.kind.code}", *s.values) for s in storages]
    with open("legacy.pth", "wb") as file:
        pickle.dump(0x1950A86A20F9469CFC6C, file, protocol=2)
        pickle.dump(1001, file, protocol=2)
        pickle.dump({"protocol_version": 1001, "little_endian": True}, file, protocol=2)
        Pickler(file, protocol=2).dump(checkpoint)
        pickle.dump([storage.key for storage in storages], file, protocol=2)
        for storage, values in zip(storages, raw):
            file.write(struct.pack("<q", len(storage.values)) + values)
    pickled = io.BytesIO()
    Pickler(pickled, protocol=2).dump(checkpoint)
    entries = {"data.pkl": pickled.getvalue(), "byteorder": b"little", "version": b"3\n"}
    entries.update({f"data/{storage.key}": values for storage, values in zip(storages, raw)})
    with zipfile.ZipFile("zip.pth.tar", "w") as file:
        for name, content in entries.items():
            file.writestr(zipfile.ZipInfo(f"tiny/{name}"), content)


main()
