import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmengine.logging import HistoryBuffer
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner.checkpoint import CheckpointLoader

from mmmaskformer.checkpoints import checksum, reading
from mmmaskformer.checkpoints.limits import VARIABLE
from tests.checkpoints.test_pickles import HISTORY


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


def test_truncated_and_missing_checkpoints_name_themselves(tmp_path):
    path = tmp_path / "cut.pth"
    for legacy in (False, True):
        torch.save({"w": torch.randn(1000)}, path, _use_new_zipfile_serialization=not legacy)
        path.write_bytes(path.read_bytes()[:2000])
        with pytest.raises(
            RuntimeError, match=r"cut\.pth (can not be read|is refused: it is damaged)"
        ):
            reading.load_checkpoint_file(str(path))
    path.write_bytes(b"")
    with pytest.raises(RuntimeError, match=r"cut\.pth can not be read: it ends too early"):
        reading.load_checkpoint_file(str(path))
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        reading.load_checkpoint_file(str(tmp_path / "none.pth"))


def test_folders_and_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path, tmp_path / "pipe.pth", "/dev/zero"):
        with pytest.raises(RuntimeError, match="can not be read: it is no file"):
            reading.load_checkpoint_file(path)


def tensors():
    whole = torch.arange(24.0).view(4, 6)
    made = {
        f"of {dtype}": torch.ones(3, dtype=dtype)
        for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool)
    }
    views = {"view": whole[1:, ::2], "transposed": whole.t(), "whole": whole, "none": whole[:0]}
    return {
        **{**made, **views, "scalar": torch.tensor(3.0), "again": whole},
        "expanded": torch.ones(1).expand(5),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }


def save(content, path, kind):
    if kind == "compressed":
        torch.save(content, f"{path}.stored")
        with (
            zipfile.ZipFile(f"{path}.stored") as source,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
        ):
            for name in source.namelist():
                target.writestr(name, source.read(name))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=kind != "legacy")


@pytest.mark.parametrize("by_torch", [True, False])
@pytest.mark.parametrize("kind", ["zip", "legacy", "compressed"])
def test_tensors_come_back_as_they_were(kind, by_torch, tmp_path, monkeypatch):
    """By torch's own reader where it knows everything in the file."""
    state_dict = torch.nn.BatchNorm1d(3).state_dict()
    state_dict.update(tensors())
    saved = {"state_dict": state_dict, "seed": 3 if by_torch else np.int64(3)}
    save(saved, tmp_path / "a.pth", kind)
    calls = []
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, **k: calls.append(k) or load(*a, **k))
    loaded = reading.load_checkpoint_file(tmp_path / "a.pth", "cpu")
    assert [call["weights_only"] for call in calls] == [by_torch]
    assert loaded["seed"] == 3
    assert list(loaded["state_dict"]) == list(state_dict)
    assert loaded["state_dict"]._metadata == state_dict._metadata
    for name, tensor in state_dict.items():
        ours = loaded["state_dict"][name]
        assert torch.equal(ours, tensor), name
        assert (ours.dtype, ours.stride(), type(ours)) == (
            tensor.dtype,
            tensor.stride(),
            type(tensor),
        )
    ours = loaded["state_dict"]
    assert ours["whole"].data_ptr() == ours["again"].data_ptr()
    ours["whole"][1, 0] = -1  # memory of our own, shared as it was
    assert ours["view"][0, 0] == -1


@pytest.mark.parametrize("kind", ["zip", "legacy"])
@pytest.mark.parametrize(
    "place",
    [
        None,
        "meta",
        torch.device("meta"),
        {"cpu": "meta"},
        lambda storage, location: storage,
        lambda storage, location: None,
    ],
)
def test_map_location_is_that_of_torch(kind, place, tmp_path):
    save({"w": torch.arange(3.0)}, tmp_path / "a.pth", kind)
    ours = reading.load_checkpoint_file(tmp_path / "a.pth", place)["w"]
    theirs = torch.load(tmp_path / "a.pth", map_location=place)["w"]
    assert ours.device == theirs.device
    assert ours.is_meta or torch.equal(ours, theirs)


def test_file_may_be_overwritten_while_its_tensors_are_in_use(tmp_path):
    path = tmp_path / "a.pth"
    torch.save({"w": torch.arange(100_000.0)}, path)
    loaded = reading.load_checkpoint_file(path)
    path.write_bytes(b"")
    assert torch.equal(loaded["w"], torch.arange(100_000.0))


class Inside:
    pass


def test_what_is_unknown_is_left_out_outside_of_the_weights(tmp_path):
    content = {
        "state_dict": {"w": torch.ones(1)},
        "meta": {"iter": 3, "started": Inside(), "names": ["a", Inside()]},
        "args": Inside(),
    }
    torch.save(content, tmp_path / "a.pth")
    with pytest.warns(UserWarning, match=r"a\.pth: left out, .*: 'tests\..*\.Inside'"):
        loaded = reading.load_checkpoint_file(tmp_path / "a.pth")
    assert loaded["meta"] == {"iter": 3, "names": ["a", None]}
    assert list(loaded) == ["state_dict", "meta"]
    for name in ("state_dict", "model", "optimizer", "ema_state_dict"):
        torch.save({"meta": {}, name: {"w": Inside()}}, tmp_path / "a.pth")
        with pytest.raises(RuntimeError, match=r"a\.pth is refused: it asks for '.*\.Inside'"):
            reading.load_checkpoint_file(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "scheduler",
    [
        dict(type="OneCycleLR", eta_max=0.1, total_steps=10),
        dict(type="ReduceOnPlateauLR", monitor="loss"),
        dict(type="PolyLR", end=10),
        dict(type="CosineAnnealingLR", T_max=10),
    ],
)
def test_state_of_every_scheduler_of_mmengine_is_read(scheduler, tmp_path):
    def build():
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
        return PARAM_SCHEDULERS.build(dict(optimizer=optimizer, by_epoch=True, **scheduler))

    before, after = build(), build()
    for _ in range(3):
        before.step({"loss": 1.0}) if "monitor" in scheduler else before.step()
    content = {
        "param_schedulers": [before.state_dict()],
        "optimizer": before.optimizer.state_dict(),
    }
    torch.save(content, tmp_path / "a.pth")
    loaded = reading.load_checkpoint_file(tmp_path / "a.pth")
    after.optimizer.load_state_dict(loaded["optimizer"])
    after.load_state_dict(loaded["param_schedulers"][0])
    for _ in range(3):
        for one in (before, after):
            one.step({"loss": 1.0}) if "monitor" in scheduler else one.step()
        assert after.get_last_value() == before.get_last_value()


def test_histories_change_nothing_but_themselves(tmp_path):
    state = {
        "max_length": 7,
        "_log_history": np.array([1.0, 2.0]),
        "_count_history": np.array([1, 1]),
        "statistics_methods": {"mean": "poison", "more": "poison"},
        "mean": "poison",
    }

    before = dict(HistoryBuffer()._statistics_methods)
    pickled = pickle.dumps(state, 2)[2:-1]
    content = b"\x80\x02}X\x01\x00\x00\x00h" + HISTORY + b")\x81" + pickled + b"bs."
    (tmp_path / "a.pkl").write_bytes(content)
    history = reading.load_checkpoint_file(tmp_path / "a.pkl")["h"]
    assert history.mean() == 1.5
    assert history.max_length == 7
    assert set(vars(history)) == {"max_length", "_log_history", "_count_history"}
    assert dict(HistoryBuffer._statistics_methods) == before


def test_text_that_mmengine_would_execute_never_reaches_it(tmp_path, monkeypatch):
    text = f"import os\nos.mkdir({str(tmp_path / 'harmed')!r})\n"
    content = {
        "meta": {"iter": 1, "epoch": 0, "config": text, "cfg": text},
        "message_hub": {"runtime_info": {"cfg": text, "best_score": 1.0}, "log_scalars": {}},
        "state_dict": {},
    }
    torch.save(content, tmp_path / "a.pth")
    loaded = CheckpointLoader.load_checkpoint(str(tmp_path / "a.pth"))
    assert loaded["meta"] == {"iter": 1, "epoch": 0}
    assert loaded["message_hub"]["runtime_info"] == {"best_score": 1.0}
    with pytest.raises(ValueError, match="Cannot find the config in the checkpoint"):
        DetInferencer(weights=str(tmp_path / "a.pth"))
    assert not (tmp_path / "harmed").exists()


def test_files_that_mmengine_would_delete_lie_beside_the_checkpoint(tmp_path):
    """Its CheckpointHook deletes the former best checkpoint under the name that a file says."""
    own, precious = tmp_path / "run/best_mIoU_iter_5.pth", tmp_path / "best_thesis.pth"
    own.parent.mkdir()
    own.touch()
    precious.touch()
    info = {
        "best_ckpt": str(precious),
        "best_ckpt_mIoU": f"/moved/from/{own.name}",
        "best_ckpt_x": "best_gone.pth",
        "keep_ckpt_ids": ["../../best_thesis"],
        "best_score": 2.0,
    }
    torch.save({"message_hub": {"runtime_info": info}, "state_dict": {}}, own.with_name("a.pth"))
    loaded = reading.load_checkpoint_file(own.with_name("a.pth"))["message_hub"]["runtime_info"]
    assert loaded == {"best_ckpt_mIoU": str(own), "best_score": 2.0}


@pytest.mark.parametrize("kind", ["zip", "legacy"])
def test_flipped_bit_is_noticed_where_a_checksum_was_written(kind, tmp_path):
    path = tmp_path / "a.pth"
    content = {"state_dict": {"w": torch.full((5000,), 1.5)}, "meta": {"iter": 77777}}
    content[checksum.KEY] = checksum.stamp(content)
    save(content, path, kind)
    assert reading.load_checkpoint_file(path)["meta"]["iter"] == 77777
    data = bytearray(path.read_bytes())
    places = [data.index(torch.full((5,), 1.5).numpy().tobytes()) + 9002]
    if kind == "zip":  # a number outside of the tensors
        places.append(data.index((77777).to_bytes(4, "little")))
    for place in places:
        data[place] ^= 4
        path.write_bytes(data)
        with pytest.raises(RuntimeError, match=r"a\.pth is refused: its contents have changed"):
            reading.load_checkpoint_file(path)
        data[place] ^= 4


def test_limits_can_be_raised(tmp_path, monkeypatch):
    save({"w": torch.zeros(70 << 20, dtype=torch.uint8)}, tmp_path / "a.pth", "compressed")
    with pytest.raises(RuntimeError, match=r"take far more memory .*; MMMASKFORMER_READ_LIMIT=10"):
        reading.load_checkpoint_file(tmp_path / "a.pth")
    monkeypatch.setenv(VARIABLE, "2")
    assert reading.load_checkpoint_file(tmp_path / "a.pth")["w"].numel() == 70 << 20
    monkeypatch.setenv(VARIABLE, "much")
    with pytest.raises(RuntimeError, match=f"{VARIABLE}='much': wanted is a number"):
        reading.load_checkpoint_file(tmp_path / "a.pth")


def test_number_of_objects_is_limited(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "0.002")
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04)" + b"\x85" * 2000 + b".")
    with pytest.raises(RuntimeError, match="is refused: it has too many objects"):
        reading.load_checkpoint_file(tmp_path / "a.pkl")
    pickled = pickle.dumps("a" * (65 << 20), 2)[:-1]
    encode = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R"
    (tmp_path / "a.pkl").write_bytes(pickled + encode * 200 + b".")
    with pytest.raises(RuntimeError, match="would take far more memory than its size"):
        reading.load_checkpoint_file(tmp_path / "a.pkl")
