"""What becomes of a checkpoint's contents, and who reads them afterwards."""

import argparse
import datetime
import enum
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.optim import _ParamScheduler
from mmengine.registry import PARAM_SCHEDULERS
from mmengine.runner import Runner

from mmmaskformer.checkpoints.checksum import KEY, stamp
from mmmaskformer.checkpoints.plain import plain
from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.engine.checkpointing import Seal, pack, unpack


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Mute:
    def __str__(self):
        raise RuntimeError


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Counter("aab"), {"a": 2, "b": 1}),
        (defaultdict(list, x=[1]), {"x": [1]}),
        (ConfigDict(a=ConfigDict(b=(1, [2]))), {"a": {"b": (1, [2])}}),
        (deque([1, 2], 5), [1, 2]),
        ({3}, [3]),
        (range(3), [0, 1, 2]),
        (Pair(1, Path("x")), (1, "x")),
        (datetime.datetime(2026, 1, 2, 3), "2026-01-02T03:00:00"),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (argparse.Namespace(lr=np.float32(0.5)), {"lr": 0.5}),
        (np.int64(3), 3),
        (np.float64(2.5), 2.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([["a"], ["b"]]), [["a"], ["b"]]),
        (np.array([1, None], dtype=object), [1, None]),
        (Colour.RED, "red"),
        (Level.LOW, 1),
        (bytearray(b"a"), b"a"),
        ({np.int64(1): 1, Path("p"): 2, Colour.RED: 3}, {1: 1, "p": 2, "red": 3}),
        (torch.Size([1, 2]), (1, 2)),
        (HistoryBuffer.mean, "mmengine.logging.history_buffer.HistoryBuffer.mean"),
        (Mute(), "Mute"),
    ],
)
def test_values_become_plain_and_are_read_by_torch(tmp_path, value, wanted):
    found = plain({"meta": {"x": value}})
    assert found == {"meta": {"x": wanted}}
    assert type(found["meta"]["x"]) is type(wanted)
    torch.save(found, tmp_path / "a.pth")
    assert torch.load(tmp_path / "a.pth", weights_only=True) == found
    assert load_checkpoint_file(str(tmp_path / "a.pth")) == found


def test_arrays_become_tensors_which_take_few_steps_to_read():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = plain({"bank": values, "flags": values.T > 2})
    assert torch.equal(found["bank"], torch.from_numpy(values))
    assert found["flags"].dtype == torch.bool
    found["bank"][0, 0] = 9.0
    assert values[0, 0] == 0  # a copy
    assert plain({(frozenset([1]),): 1}) == {"(frozenset({1}),)": 1}


def test_tensors_and_versions_of_modules_stay():
    model = torch.nn.BatchNorm1d(2)
    model.weight.note = print
    found = plain(OrderedDict(model.state_dict(keep_vars=True)))
    assert type(found["weight"]) is torch.Tensor
    assert found["weight"].data_ptr() == model.weight.data_ptr()
    assert not vars(found["weight"])
    assert plain(model.state_dict())._metadata == model.state_dict()._metadata
    for value in (torch.float16, torch.device("cpu")):
        assert plain(value) is value


def test_what_contains_itself_does_not_end_a_training():
    endless = {"a": 1}
    endless["again"] = endless
    assert isinstance(plain(endless), dict)


def test_objects_without_a_plain_form_are_dropped_where_they_are_made_anew():
    state = {"f": max, "steps": [1, min], "inner": {"g": object()}, "x": 1}
    assert plain(state, drop=True) == {"steps": [1], "inner": {}, "x": 1}


SCHEDULES = {
    "ConstantLR": {},
    "CosineAnnealingLR": dict(T_max=10),
    "CosineRestartLR": dict(periods=[3, 7], restart_weights=[1, 0.5], eta_min=0.0),
    "ExponentialLR": dict(gamma=0.9),
    "LinearLR": dict(start_factor=0.1),
    "MultiStepLR": dict(milestones=[3, 5]),
    "OneCycleLR": dict(eta_max=0.1, total_steps=10),
    "PolyLR": dict(end=10),
    "ReduceOnPlateauLR": dict(monitor="loss", rule="less", patience=0, by_epoch=True),
    "StepLR": dict(step_size=2),
    "mmmaskformer.MultiStepLR": dict(end=10, milestones=[0.3]),
    "mmmaskformer.PolyLR": dict(end=10),
    "mmmaskformer.WarmupLR": dict(end=10, iters=5),
}


def make_schedule(name):
    weights = [torch.nn.Parameter(torch.zeros(1))]
    optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9)
    settings = {"by_epoch": False, **SCHEDULES[name]}
    return optimizer, PARAM_SCHEDULERS.build(dict(type=name, optimizer=optimizer, **settings))


def step(optimizer, schedule, count):
    values = []
    for _ in range(count):
        optimizer.step()
        schedule.step(*[{"loss": 1.0}] * getattr(schedule, "need_val_args", False))
        values.append(optimizer.param_groups[0]["lr"])
    return values


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_goes_on_after_a_plain_checkpoint(tmp_path, name):
    optimizer, schedule = make_schedule(name)
    assert isinstance(schedule, _ParamScheduler)
    step(optimizer, schedule, 4)
    parts = {"param_schedulers": [schedule.state_dict()], "optimizer": optimizer.state_dict()}
    torch.save(plain(parts, drop=True), tmp_path / "a.pth")
    read = torch.load(tmp_path / "a.pth", weights_only=True)
    again, resumed = make_schedule(name)
    again.load_state_dict(read["optimizer"])
    resumed.load_state_dict(read["param_schedulers"][0])
    assert step(again, resumed, 5) == step(optimizer, schedule, 5)


def test_history_buffers_come_back():
    history = HistoryBuffer(max_length=5)
    for number in range(7):
        history.update(number / 3, number + 1)
    again = unpack(plain(pack(history)))
    assert isinstance(again, HistoryBuffer)
    for one, other in zip(again.data, history.data, strict=True):
        np.testing.assert_array_equal(one, other)
    again.update(9), history.update(9)
    assert again.mean(3) == history.mean(3)
    assert again.max_length == 5
    assert unpack({"a": 1}) == {"a": 1}


class Late(Hook):
    """A user's hook that adds an entry behind all of the config's hooks."""

    priority = "VERY_LOW"

    def before_save_checkpoint(self, runner, checkpoint):
        checkpoint["late"] = dict(values=deque([1, 2]), level=Level.LOW)


def test_what_late_hooks_add_is_sealed_too(tmp_path):
    """By their order in the runner, whoever is registered first."""
    runner = SimpleNamespace(_hooks=[])
    for hook, priority in ((Seal(), "LOWEST"), (Late(), None), (Late(), "LOWEST")):
        Runner.register_hook(runner, hook, priority)
    assert [type(hook) for hook in runner._hooks[:2]] == [Late, Seal]
    checkpoint = dict(state_dict=OrderedDict(a=torch.ones(2)), meta={}, message_hub={})
    for hook in runner._hooks[:2]:
        hook.before_save_checkpoint(runner, checkpoint)
    torch.save(checkpoint, tmp_path / "a.pth")
    found = torch.load(tmp_path / "a.pth", weights_only=True)
    assert found["late"] == dict(values=[1, 2], level=1)
    assert found["checksum"] == stamp({k: v for k, v in checkpoint.items() if k != KEY})
    assert load_checkpoint_file(tmp_path / "a.pth")["late"] == found["late"]
