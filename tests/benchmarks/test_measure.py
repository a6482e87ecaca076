"""Clocks, memory, FLOPs and the generated batches."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.kit import measure, models
from benchmarks.kit.batches import make_batch, voronoi_labels
from benchmarks.kit.processes import Team
from tests.conftest import ROOT, WARM

pytestmark = pytest.mark.slow


def calls_of_turns(**options):
    calls = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    taken = measure.take_turns(functions, **options)
    assert taken.keys() == functions.keys()
    return "".join(calls)


def test_functions_take_turns():
    assert calls_of_turns(repeats=2, settle=False) == "abab"
    assert calls_of_turns(repeats=2) == "aabb" * 2
    assert calls_of_turns(repeats=1, warmup=2) == "abab" + "aabb"


def test_seconds_are_medians_of_the_clocked_calls(monkeypatch):
    """Every call takes longer than the one before; a clock that only the functions move."""
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    steps = iter((100, 1, 100, 5, 100, 2))

    def function():
        now[0] += next(steps)

    assert measure.take_turns({"f": function}, repeats=3) == {"f": 2}


@pytest.mark.parametrize(("repeats", "warmup"), [(0, 0), (1, -1)])
def test_numbers_of_rounds_are_checked(repeats, warmup):
    with pytest.raises(ValueError, match=f"got {repeats} and {warmup}"):
        measure.take_turns({}, repeats, warmup)


def growth_of(megabytes):
    def function():
        np.ones((megabytes, 2**20), np.uint8)

    return measure.peak_growth_mb(function)


LEFT_BEHIND = []


def growth_and_what_was_there():
    return growth_of(300), LEFT_BEHIND


def test_peak_of_a_fresh_process_is_what_was_allocated(monkeypatch):
    """It has nothing of the process that started it."""
    monkeypatch.setattr(sys.modules[__name__], "LEFT_BEHIND", ["something"])
    growth, left = measure.in_fresh_process(growth_and_what_was_there)
    assert growth == pytest.approx(300, abs=20)
    assert left == []


def second_growth():
    return growth_of(300), growth_of(100)


@pytest.mark.usefixtures("warm")
def test_an_earlier_peak_is_forgotten():
    assert measure.in_fresh_process(second_growth) == pytest.approx((300, 100), abs=20)


def stop(code):
    # Not sys.exit, which the pool would report as an exception.
    threading.Timer(0, lambda: os._exit(code)).start()
    time.sleep(30)


def fail(message):
    raise ValueError(message)


@pytest.mark.usefixtures("warm")
def test_errors_of_a_fresh_process():
    with pytest.raises(ValueError, match="^wrong number$"):
        measure.in_fresh_process(fail, "wrong number")
    with pytest.raises(MemoryError, match="process of stop was killed"):
        measure.in_fresh_process(stop, 9)


def announce(path):
    """Write this process's id to the file, and never end."""
    Path(path).with_suffix(".part").write_text(str(os.getpid()))
    Path(path).with_suffix(".part").rename(path)
    time.sleep(600)


class Endless:
    """Settings of a team that never comes to training."""

    batch = 1

    def __init__(self, path):
        self.path = path

    def load(self, config):
        announce(self.path)


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def runs(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.is_file() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def start_one(path):
    measure.in_fresh_process(announce, path)


def start_team(path):
    Team(1, "a.py", Endless(path)).wait()


@pytest.mark.parametrize("start", [start_one, start_team])
def test_no_process_outlives_a_tool_that_is_killed(start, tmp_path):
    path = tmp_path / "pid"
    tool = WARM.Process(target=start, args=(path,))
    tool.start()
    try:
        assert wait_for(path.exists)
        pid = int(path.read_text())
        assert runs(pid)
    finally:
        tool.kill()
        tool.join()
    try:
        assert wait_for(lambda: not runs(pid))
    finally:
        if runs(pid):
            os.kill(pid, signal.SIGKILL)


def test_the_machine_has_a_name_and_threads():
    name = measure.machine("cpu")
    threads = torch.get_num_threads()
    assert name.split(", ")[-1] == f"{threads} thread{'s' if threads > 1 else ''}"
    assert name.split(", ")[0]


def test_label_maps_are_cells_of_the_nearest_point():
    labels = voronoi_labels((5, 9), (7, 2, 4), np.random.default_rng(1))
    points = np.random.default_rng(1).uniform((0, 0), (5, 9), (3, 2))
    for y in range(5):
        for x in range(9):
            nearest = min(range(3), key=lambda i: np.hypot(y - points[i][0], x - points[i][1]))
            assert labels[y, x] == (7, 2, 4)[nearest]


def test_batches_are_the_same_every_time():
    images, samples = make_batch((40, 56), 2, 6, 10, "cpu")
    again, samples_again = make_batch((40, 56), 2, 6, 10, "cpu")
    assert torch.equal(images, again)
    assert images.shape == (2, 3, 40, 56)
    for sample, other in zip(samples, samples_again, strict=True):
        assert torch.equal(sample.gt_sem_seg.data, other.gt_sem_seg.data)
        assert len(sample.gt_sem_seg.data.unique()) == 6
        assert sample.gt_sem_seg.data.max() < 10
        assert sample.ori_shape == sample.pad_shape == (40, 56)
    assert not torch.equal(samples[0].gt_sem_seg.data, samples[1].gt_sem_seg.data)


@pytest.mark.parametrize("segments", [0, 11])
def test_more_segments_than_classes(segments):
    with pytest.raises(ValueError, match=f"segments must be 1..10, .* got {segments}"):
        make_batch((8, 8), 1, segments, 10, "cpu")


def test_number_of_classes_of_every_head():
    cfg = models.load_config(str(ROOT / "configs/mmseg-maskformer_r18_camvid.py"))
    models.set_num_classes(cfg.model, 30)
    assert cfg.model.decode_head.num_classes == 30
    assert cfg.model.decode_head.loss_cls.class_weight == [1.0] * 30 + [0.1]
    cfg = models.load_config(str(ROOT / "configs/upernet_r18_shapes.py"), num_classes=30)
    assert models.smallest_num_classes(cfg) == 30
    cfg.model.auxiliary_head.num_classes = 4
    assert models.smallest_num_classes(cfg) == 4


def test_weights_are_neither_downloaded_nor_different():
    """The config names a file to download at two places."""
    cfg = models.load_config("mmseg::upernet/upernet_r50_4xb4-160k_ade20k-512x512.py")
    assert cfg.model.pretrained
    cfg.model.backbone.init_cfg = dict(type="Pretrained", checkpoint="https://example.invalid/x")
    first, second = models.build(cfg, "cpu"), models.build(cfg, "cpu")
    assert torch.equal(first.decode_head.conv_seg.weight, second.decode_head.conv_seg.weight)
    assert not any(isinstance(m, nn.SyncBatchNorm) for m in first.modules())
    assert cfg.model.backbone.init_cfg.type == "Pretrained"


def test_a_training_step_clips_and_updates():
    cfg = models.load_config(str(ROOT / "configs/maskformer_r18_shapes.py"))
    model = models.build(cfg, "cpu").train()
    optimizer = models.build_optimizer(model, cfg, None, "cpu")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    gradients = {}
    optimizer.optimizer.register_step_pre_hook(
        lambda *_: gradients.update({n: p.grad.clone() for n, p in model.named_parameters()})
    )
    models.training_step(model, optimizer, *make_batch((64, 64), 2, 3, 10, "cpu"))()
    norm = sum(g.square().sum() for g in gradients.values()).sqrt().item()
    assert norm == pytest.approx(cfg.optim_wrapper.clip_grad.max_norm, rel=1e-3)
    for name, parameter in model.named_parameters():
        assert not (gradients[name].any() and torch.equal(before[name], parameter)), name


def test_mixed_precision_on_a_cpu():
    cfg = models.load_config(str(ROOT / "configs/maskformer_r18_shapes.py"))
    model = models.build(cfg, "cpu").train()
    dtypes = set()
    model.decode_head.predictor.class_embed.register_forward_hook(
        lambda module, inputs, output: dtypes.add(output.dtype)
    )
    batch = make_batch((64, 64), 2, 3, 10, "cpu")
    optimizer = models.build_optimizer(model, cfg, "bf16", "cpu")
    models.training_step(model, optimizer, *batch, "bf16")()
    models.prediction(model.eval(), *batch, "bf16")()
    assert dtypes == {torch.bfloat16}
