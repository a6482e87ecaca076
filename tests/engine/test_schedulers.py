"""Schedules as long as the run: mmengine's numbers, in every length, resumed in another, too."""

import re

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import FlexibleRunner, Runner

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from tests.conftest import ROOT
from tests.engine.schedules import go_on, learning_rates, start

POLY = dict(type="mmmaskformer.PolyLR", power=0.9, by_epoch=False)
STEPS = dict(type="mmmaskformer.MultiStepLR", milestones=[2 / 3], by_epoch=False)
WARMUP = dict(type="mmmaskformer.WarmupLR", iters=1500, start_factor=1e-6, by_epoch=False)


def of_mmengine(schedule, end):
    """What mmengine needs to be told for the same learning rates in a run of this length."""
    if schedule["type"].endswith("PolyLR"):
        own = dict(type="PolyLR", power=schedule["power"], eta_min=0.0, end=end + 1)
    elif schedule["type"].endswith("MultiStepLR"):
        milestones = [round(part * end) for part in schedule["milestones"]]
        own = dict(type="MultiStepLR", milestones=milestones, gamma=0.1, end=end)
    else:
        own = dict(type="LinearLR", start_factor=schedule["start_factor"], end=1)
        own["end"] += schedule["iters"]
    return dict(own, begin=0, by_epoch=False)


CONFIGS = ROOT / "configs"
LONG = ("resnet_300k", "resnet_554k", "resnet_720k")
"""Schedules of the same kinds as others, in more iterations."""
SCHEDULES = [
    pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in LONG else [])
    for path in sorted((CONFIGS / "_base_/schedules").glob("*.py"))
]


@pytest.mark.parametrize("path", SCHEDULES)
def test_learning_rates_are_those_of_mmengines_schedules_in_every_iteration(path):
    cfg = Config.fromfile(path)
    schedules, end = cfg.to_dict()["param_scheduler"], cfg.train_cfg.max_iters
    assert len(schedules) == 1 + path.stem.startswith(("adam", "swin", "sgd_61k", "warmup"))
    number, thousand = re.fullmatch(r"[a-z]+_(\d+)(k?)", path.stem).groups()
    assert end // (1000 if thousand else 1) == int(number)
    expected = learning_rates([of_mmengine(schedule, end) for schedule in schedules], end)
    assert np.array_equal(learning_rates(schedules, end), expected)


def test_no_config_has_a_schedule_of_its_own():
    for path in CONFIGS.glob("*.py"):
        assert "param_scheduler" not in path.read_text(), path


def formula(t, end, warm_up=0):
    factor = (1 - t / end) ** 0.9
    return factor * (1e-6 * (1 - t / warm_up) + t / warm_up if t < warm_up else 1)


@pytest.mark.parametrize(
    ("schedules", "end", "warm_up"),
    [([POLY], 500, 0), ([POLY, WARMUP], 2000, 1500), ([POLY, WARMUP], 600, 600), ([POLY], 1, 0)],
)
def test_a_run_of_another_length_has_its_own_decay(schedules, end, warm_up):
    expected = [1e-4 * formula(t, end, warm_up) for t in range(end)]
    *values, left = learning_rates(schedules, end)
    np.testing.assert_allclose(values, expected, rtol=1e-11)
    assert left == 0


def test_steps_are_fractions_of_the_run():
    schedule = dict(STEPS, milestones=[0.5, 0.8], gamma=0.5)
    expected = [1.0] * 5 + [0.5] * 3 + [0.25] * 3
    assert learning_rates([schedule], 10, lr=1.0).tolist() == expected


CHAINS = {"poly": [POLY], "poly and warm-up": [POLY, WARMUP], "steps": [STEPS, WARMUP]}


@pytest.mark.parametrize("longer", [400, 900, 3000], ids=lambda n: f"to {n}")
@pytest.mark.parametrize("stop", [1, 200, 300])
@pytest.mark.parametrize("chain", CHAINS)
def test_a_longer_run_that_is_resumed_goes_on_with_its_own_schedule(tmp_path, chain, stop, longer):
    """From the middle of a run of 300 iterations, and from its end, where poly is zero."""
    optimizer, built = start(CHAINS[chain], 300)
    go_on(optimizer, built, stop)
    path = tmp_path / "checkpoint.pth"
    torch.save((optimizer.state_dict(), [part.state_dict() for part in built]), path)
    state = load_checkpoint_file(path)

    again, rebuilt = start(CHAINS[chain], longer)
    again.load_state_dict(state[0])
    for part, saved in zip(rebuilt, state[1], strict=True):
        part.load_state_dict(saved)
    expected = learning_rates(CHAINS[chain], longer)[stop:]
    np.testing.assert_allclose(go_on(again, rebuilt, longer - stop), expected, rtol=1e-10)


@pytest.mark.parametrize("chain", CHAINS)
def test_resumed_in_the_same_length_every_value_is_the_same(chain):
    optimizer, built = start(CHAINS[chain], 300)
    go_on(optimizer, built, 220)
    again, rebuilt = start(CHAINS[chain], 300)
    again.load_state_dict(optimizer.state_dict())
    for part, saved in zip(rebuilt, built, strict=True):
        part.load_state_dict(saved.state_dict())
    assert go_on(again, rebuilt, 80) == learning_rates(CHAINS[chain], 300)[220:].tolist()


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        (dict(POLY, by_epoch=True), ValueError, "PolyLR counts iterations.*by_epoch=False"),
        ({k: v for k, v in POLY.items() if k != "by_epoch"}, ValueError, "by_epoch=False"),
        (dict(STEPS, milestones=[369600]), ValueError, r"milestones=\[369600\]: .* fractions"),
        (dict(STEPS, milestones=[0.5, 1.0]), ValueError, "between 0 and 1"),
        (dict(POLY, eta_min=1e-5), TypeError, "eta_min"),
        (dict(WARMUP, begin=3), TypeError, "begin"),
    ],
)
def test_what_a_schedule_does_not_take(schedule, error, message):
    with pytest.raises(error, match=message):
        start([schedule], 10)


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, inputs, mode):
        return dict(loss=(self.weight * inputs[0]).sum())


class Record(Hook):
    def __init__(self):
        self.values = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.values.append(runner.optim_wrapper.get_lr()["lr"][0])


@pytest.mark.parametrize("kind", [Runner, FlexibleRunner])
def test_the_runner_says_how_long_the_run_is(kind, tmp_path):
    """`train_cfg.max_iters` is the only setting to change, resumed runs included."""

    def train(max_iters, **settings):
        record = Record()
        runner = kind(
            model=Line(),
            work_dir=str(tmp_path),
            train_dataloader=dict(
                dataset=[torch.ones(1)] * 8,
                sampler=dict(type="InfiniteSampler"),
                batch_size=1,
                num_workers=0,
            ),
            train_cfg=dict(type="IterBasedTrainLoop", max_iters=max_iters),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e-4)),
            param_scheduler=[POLY, WARMUP],
            default_hooks=dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=5)),
            custom_hooks=[record],
            default_scope="mmengine",
            experiment_name=f"{kind.__name__}{max_iters}",
            log_level="ERROR",
            **settings,
        )
        runner.train()
        return record.values

    assert train(10) == learning_rates([POLY, WARMUP], 10)[:-1].tolist()
    resumed = train(25, resume=True, load_from=str(tmp_path / "iter_10.pth"))
    np.testing.assert_allclose(resumed, learning_rates([POLY, WARMUP], 25)[10:-1], rtol=1e-12)
