"""Mixed precision on a CPU."""

from argparse import Namespace

import pytest
import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper, build_optim_wrapper
from torch import nn

from mmmaskformer.engine.cpu_amp import CPUAmpOptimWrapper, use_amp, use_cpu_amp, wrapper_class
from mmmaskformer.engine.runner import build_runner, load_config
from tests.conftest import ROOT


def step(optim_wrapper: dict) -> tuple[nn.Linear, torch.dtype]:
    """A seeded layer after one step of gradient descent, and the dtype of its output."""
    torch.manual_seed(0)
    layer = nn.Linear(8, 4)
    data = torch.rand(16, 8)
    wrapper = build_optim_wrapper(layer, optim_wrapper)
    with wrapper.optim_context(layer):
        output = layer(data)
    wrapper.update_params(output.float().square().mean())
    return layer, output.dtype


def test_forward_is_bfloat16_and_the_update_is_float32():
    plain = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1))
    exact, dtype = step(plain)
    assert dtype == torch.float32
    config = dict(plain, type="AmpOptimWrapper", loss_scale="dynamic", dtype="bfloat16")
    use_cpu_amp(config)
    mixed, dtype = step(config)
    assert dtype == torch.bfloat16
    assert mixed.weight.dtype == torch.float32
    difference = (mixed.weight - exact.weight).abs().max().item()
    assert 0 < difference < 1e-3  # of updates of up to 0.05


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({}, OptimWrapper),
        (dict(type="mmengine.optim.AmpOptimWrapper"), AmpOptimWrapper),
        (dict(type=AmpOptimWrapper), AmpOptimWrapper),  # of a config with imports
        (dict(type="Unknown"), None),
        (dict(type=None), None),
        (3, None),
    ],
)
def test_a_wrapper_is_named_in_several_ways(config, found):
    assert wrapper_class(config) is found


def test_mixed_precision_scales_the_loss():
    config = dict(type="OptimWrapper", loss_scale=512.0)
    use_amp(config)
    assert config == dict(type="AmpOptimWrapper", loss_scale=512.0)
    config = dict(type="mmmaskformer.CPUAmpOptimWrapper", optimizer=1)
    use_amp(config)
    assert config == dict(type="AmpOptimWrapper", loss_scale="dynamic", optimizer=1)


def load(options: dict, amp: bool):
    config = str(ROOT / "configs/maskformer_r18_shapes.py")
    return load_config(Namespace(config=config, cfg_options=options, amp=amp))


def test_amp_takes_options_of_the_wrapper_that_it_brings():
    options = {"optim_wrapper.dtype": "bfloat16"}
    cfg = load(options, amp=True)
    found = {key: cfg.optim_wrapper[key] for key in ("type", "dtype", "loss_scale")}
    assert found == dict(type="AmpOptimWrapper", dtype="bfloat16", loss_scale="dynamic")
    message = "OptimWrapper takes no 'dtype': AmpOptimWrapper does, which --amp sets"
    with pytest.raises(ValueError, match=message):
        load(options, amp=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optim_wrapper.dtype": "bf16"}, "='bf16': it must be one of float16, bfloat16, float32"),
        ({"optim_wrapper.dtype": 16}, "=16: it must be one of float16, bfloat16, float32"),
        ({"optim_wrapper.loss_scale": 512}, "=512: it must be 'dynamic', a float such as 512.0"),
        ({"optim_wrapper.type": "DeepSpeedOptimWrapper"}, "--amp: optim_wrapper.type='DeepSpeedO"),
        ({"optim_wrapper.type": "OptimWraper"}, "type='OptimWraper': it must be 'OptimWrapper'"),
        ({"optim_wrapper": 3}, "optim_wrapper=3: it must be a dict"),
    ],
)
def test_amp_refuses_what_it_can_not_use(options, message):
    with pytest.raises(ValueError, match=message):
        load(options, amp=True)


def test_no_wrapper_needs_no_precision():
    assert load({"optim_wrapper": None}, amp=True).optim_wrapper is None


@pytest.mark.parametrize("kind", ["AmpOptimWrapper", AmpOptimWrapper])
def test_a_runner_without_a_gpu_has_our_wrapper(kind, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = load({}, amp=False)
    cfg.work_dir = str(tmp_path)
    cfg.optim_wrapper.update(type=kind, loss_scale=512.0, dtype="float16", use_fsdp=False)
    with pytest.warns(UserWarning, match="dtype=float16: without a GPU, mixed precision computes"):
        runner = build_runner(cfg)
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    assert type(wrapper) is CPUAmpOptimWrapper
