"""What is legal for mmengine and mmseg is not refused, and what others left is understood."""

import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import find_latest_checkpoint

from mmmaskformer.checkpoints.limits import Limits
from mmmaskformer.datasets.pixels import read_bytes
from mmmaskformer.engine.config_values import check_values
from mmmaskformer.engine.fit import check_finite_weights
from mmmaskformer.engine.loops import SeededBatch, SeededBatches, load_batches_seeded
from mmmaskformer.engine.resuming import use_our_parts
from mmmaskformer.engine.signatures import taker_of
from mmmaskformer.utils.files import check_output


@pytest.mark.parametrize(
    "values",
    [
        {"train_cfg": dict(max_iters=2e4, val_interval=math.inf)},
        {"log_level": 20},
        {"load_from": Path("a.pth")},
        {"train_dataloader": dict(dataset=dict(data_root="a", pipeline=[]))},
    ],
)
def test_values_that_mmengine_takes(values):
    check_values(Config(values))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train_cfg": dict(max_iters=2.5)}, "max_iters=2.5: it must be a whole number"),
        ({"train_dataloader": dict(dataset=3)}, "dataset=3: it must be a dict"),
        ({"train_dataloader": dict(dataset=dict(pipeline=4))}, "pipeline=4: it must be a list"),
        ({"model": dict(backbone=3)}, "model.backbone=3: it must be a dict"),
        ({"log_level": "LOUD"}, "log_level='LOUD'"),
    ],
)
def test_values_that_nobody_takes(values, message):
    with pytest.raises(ValueError, match=message):
        check_values(Config(values))


class Swallows:
    def __init__(self, known, **kwargs):
        self.known = known


class Takes:
    def __init__(self, known):
        self.known = known


def test_keywords_that_a_class_swallows_are_unknown_to_us():
    assert taker_of(Swallows) is None
    assert taker_of(Takes) >= {"known"}


def test_weights_that_are_infinite_from_the_start():
    fresh = {"mask": torch.tensor([0.0, -math.inf]), "weight": torch.ones(1)}
    check_finite_weights(fresh, fresh, "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth has NaN or infinite weights.*: weight$"):
        check_finite_weights({**fresh, "weight": torch.tensor([math.nan])}, fresh, "a.pth")


class Whole:
    """A dataset that loads batches by itself."""

    def __getitem__(self, index):
        return index

    def __getitems__(self, indices):
        return [10 * index + torch.rand(()).item() for index in indices]


def test_a_dataset_may_load_whole_batches():
    dataset = Whole()
    for _ in range(2):  # two loops over one dataset
        load_batches_seeded(dataset)
    batch = SeededBatch([1, 2])
    batch.seed = 3
    first = pickle.loads(pickle.dumps(dataset)).__getitems__(batch)
    assert [int(value) for value in first] == [10, 20]
    assert dataset.__getitems__(batch) == first
    batch.seed = 4
    assert dataset.__getitems__(batch) != first
    assert [int(value) for value in dataset.__getitems__([5])] == [50]  # another loader's batch


def test_a_loader_without_a_batch_is_an_error_when_it_restarts():
    batches = torch.utils.data.BatchSampler([], 2, drop_last=True)
    with pytest.raises(ValueError, match="the training data has no batch"):
        SeededBatches(batches, 0).restart([0], 0, 1)


@pytest.mark.parametrize(
    ("train_cfg", "default_hooks"),
    [
        (dict(by_epoch=False, max_iters=2), {}),
        (dict(type="IterBasedTrainLoop", max_iters=2), dict(timer=dict(type="IterTimerHook"))),
        (
            dict(type="mmengine.IterBasedTrainLoop", max_iters=2),
            dict(checkpoint=dict(type="CheckpointHook")),
        ),
    ],
)
def test_our_loop_and_hook_take_the_place_of_mmengines(train_cfg, default_hooks):
    cfg = Config(dict(train_cfg=train_cfg, default_hooks=default_hooks))
    use_our_parts(cfg)
    assert cfg.train_cfg == dict(type="mmmaskformer.IterBasedTrainLoop", max_iters=2)
    assert cfg.default_hooks.checkpoint.type == "mmmaskformer.CheckpointHook"


def test_mmengines_own_finder_understands_relative_names(tmp_path):
    (tmp_path / "last_checkpoint").write_text("iter_2.pth")
    assert find_latest_checkpoint(str(tmp_path)) == str(tmp_path / "iter_2.pth")
    (tmp_path / "last_checkpoint").write_text("/elsewhere/iter_2.pth")
    assert find_latest_checkpoint(str(tmp_path)) == "/elsewhere/iter_2.pth"


def test_large_pickles_may_take_more_steps():
    limits = Limits(10)
    limits.allow_pickle(1000)
    assert limits.objects == 500_000
    limits.allow_pickle(12_000_000)
    assert limits.objects == 2_000_000


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png is a pipe, a device, a socket or a folder"):
        read_bytes(tmp_path / "a.png")


def test_results_may_lie_beside_the_checkpoint(tmp_path):
    (tmp_path / "a.pth").touch()
    check_output("--out", tmp_path, files=[tmp_path / "a.pth"])
    with pytest.raises(ValueError, match=r"would write over .*a\.pth"):
        check_output("--out", tmp_path / "a.pth", files=[tmp_path / "a.pth"])
