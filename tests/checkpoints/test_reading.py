import io
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import CheckpointLoader

from mmmaskformer.checkpoints import pickles, reading


def test_checkpoint_of_mmengine_loads(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    saved = {
        "meta": {"iter": 3, "seed": np.int64(5), "cfg": "x = 1"},
        "state_dict": {"w": torch.arange(3.0), "half": torch.ones(2, dtype=torch.bfloat16)},
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3}]},
        "message_hub": {"log_scalars": {"train/loss": history}, "value": np.float64(0.5)},
    }
    path = str(tmp_path / "iter_3.pth")
    torch.save(saved, path)
    for legacy in (False, True):
        if legacy:
            torch.save(saved, path, _use_new_zipfile_serialization=False)
        loaded = CheckpointLoader.load_checkpoint(path, map_location="cpu")
        assert torch.equal(loaded["state_dict"]["w"], torch.arange(3.0))
        assert loaded["state_dict"]["half"].dtype == torch.bfloat16
        assert loaded["message_hub"]["log_scalars"]["train/loss"].mean() == 1.5
        assert loaded["meta"]["seed"] == 5


class Harmful:
    def __init__(self, call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ((os.system, ("touch harmed",)), r"(posix|nt)\.system"),
        ((eval, ("1 + 1",)), r"_*builtins?_*\.eval"),
        ((getattr, (torch.Tensor, "share_memory_")), "getattr"),
        ((getattr, (HistoryBuffer, "__init__")), "getattr"),
        ((__import__, ("os",)), r"_*builtins?_*\.__import__"),
        ((pickle.loads, (b"",)), r"_?pickle\.loads"),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_checkpoint_that_would_run_code_is_refused(tmp_path, monkeypatch, call, name, legacy):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": Harmful(call)}, "bad.pth", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(RuntimeError, match=rf"bad\.pth is refused: it asks for .*{name}"):
        CheckpointLoader.load_checkpoint("bad.pth")
    assert not (tmp_path / "harmed").exists()


class Scripted(torch.nn.Module):
    def forward(self, x):
        return x + 1


def test_torchscript_archive_is_refused(tmp_path):
    """`torch.load` would run the code in it, whatever the unpickler."""
    path = str(tmp_path / "script.pth")
    torch.jit.script(Scripted()).save(path)
    with pytest.raises(RuntimeError, match=r"script\.pth is refused: it is a TorchScript archive"):
        reading.load_checkpoint_file(path)


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        # State set on an admitted class would change torch for the whole process.
        (b"ctorch.storage\nTypedStorage\nN}(X\x05\x00\x00\x00numpyNu\x86b.", "asks to change"),
        # Records of module sources make torch write patch files.
        (b"(X\x06\x00\x00\x00moduleNNNtQ.", "persistent record"),
        (b"Pmodule\n.", "persistent record"),
    ],
)
def test_doors_beside_imports_are_shut(opcodes, message):
    numpy_method = torch.storage.TypedStorage.__dict__.get("numpy")
    with pytest.raises(pickle.UnpicklingError, match=message):
        pickles.CheckpointUnpickler(io.BytesIO(b"\x80\x02" + opcodes)).load()
    assert torch.storage.TypedStorage.__dict__.get("numpy") is numpy_method


NDARRAY = b"cnumpy\nndarray\n"
MAKE = b"cnumpy._core.multiarray\n_reconstruct\n(" + NDARRAY + b"(K\x00tC\x01btR"
FROM_BUFFER = b"cnumpy._core.numeric\n_frombuffer\n"
DTYPE = b"cnumpy\ndtype\n(X\x02\x00\x00\x00%stR"


@pytest.mark.parametrize(
    ("opcodes", "message"),
    [
        # With object arrays, or arrays over other arrays' memory, numpy's constructors write
        # anywhere.
        (NDARRAY + b"(K\x01K\x01tR.", "'numpy.ndarray' to be called"),
        (DTYPE % b"O8" + b".", "arrays of type 'O8'"),
        (DTYPE % b"V8" + b".", "arrays of type 'V8'"),
        (MAKE + b"(K\x01(K\x02t" + DTYPE % b"u1" + b"\x89C\x01atb.", "not of simple numbers"),
        (MAKE + b"(K\x01(J\xff\xff\xff\xfft" + DTYPE % b"u1" + b"\x89C\x00tb.", "simple numbers"),
        (
            b"cnumpy._core.numeric\n_frombuffer\n(]"
            + DTYPE % b"u1"
            + b"(K\x00tX\x01\x00\x00\x00CtR.",
            "simple numbers",
        ),
        (b"cbuiltins\nbytes\n(J\x00\x00\x00\x10tR.", "bytes of int"),
        (b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x03\x00\x00\x00hextR.", "the encoding 'hex'"),
        (b"ccollections\nOrderedDict\n)R}b.", "asks to change OrderedDict"),
    ],
)
def test_arrays_are_made_of_simple_numbers_only(opcodes, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        pickles.ArrayUnpickler(io.BytesIO(b"\x80\x04" + opcodes)).load()


def test_arrays_come_back_as_they_were():
    arrays = {
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "b": np.arange(3, dtype=">i2"),
        "empty": np.zeros((2, 0), np.float16),
        "flag": np.array([True, False]),
        "scalar": np.float64(0.1),
        "point": np.array(3),
    }
    arrays["again"] = arrays["f"]
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        content = pickle.dumps(arrays, protocol)
        loaded = pickles.ArrayUnpickler(io.BytesIO(content)).load()
        assert loaded["again"] is loaded["f"]
        for name, array in arrays.items():
            np.testing.assert_array_equal(loaded[name], array)
            assert np.asarray(loaded[name]).dtype == np.asarray(array).dtype


def test_truncated_and_missing_checkpoints_name_themselves(tmp_path):
    path = tmp_path / "cut.pth"
    torch.save({"w": torch.randn(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RuntimeError, match=r"cut\.pth can not be read"):
        reading.load_checkpoint_file(str(path))
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        reading.load_checkpoint_file(str(tmp_path / "none.pth"))
