"""Mixed precision on a CPU."""

from argparse import Namespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmmaskformer.engine.cpu_amp import use_cpu_amp, use_mixed_precision
from mmmaskformer.engine.runner import load_config
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
    config = dict(plain, type="AmpOptimWrapper", loss_scale="dynamic", dtype="float16")
    use_cpu_amp(config)
    mixed, dtype = step(config)
    assert dtype == torch.bfloat16
    assert mixed.weight.dtype == torch.float32
    difference = (mixed.weight - exact.weight).abs().max().item()
    assert 0 < difference < 1e-3  # of updates of up to 0.05


@pytest.mark.parametrize("config", [dict(type="OptimWrapper"), {}, dict(type="Unknown")])
def test_only_mixed_precision_is_replaced(config):
    before = dict(config)
    use_cpu_amp(config)
    assert config == before


def test_mixed_precision_scales_the_loss():
    config = dict(type="OptimWrapper", loss_scale=512.0)
    use_mixed_precision(config)
    assert config == dict(type="AmpOptimWrapper", loss_scale=512.0)
    config = dict(optimizer=1)
    use_mixed_precision(config)
    assert config == dict(type="AmpOptimWrapper", loss_scale="dynamic", optimizer=1)


def test_amp_takes_options_of_the_wrapper_that_it_brings():
    options = {"optim_wrapper.dtype": "bfloat16"}
    args = dict(config=str(ROOT / "configs/maskformer_r18_shapes.py"), cfg_options=options)
    cfg = load_config(Namespace(**args, amp=True))
    found = {key: cfg.optim_wrapper[key] for key in ("type", "dtype", "loss_scale")}
    assert found == dict(type="AmpOptimWrapper", dtype="bfloat16", loss_scale="dynamic")
    with pytest.raises(ValueError, match="optim_wrapper.*dtype"):
        load_config(Namespace(**args, amp=False))


@pytest.mark.parametrize("value", [None, 3])
def test_amp_of_no_wrapper_is_the_config_checks_concern(value):
    args = dict(
        config=str(ROOT / "configs/maskformer_r18_shapes.py"), cfg_options=dict(optim_wrapper=value)
    )
    found = []
    for amp in (True, False):
        try:
            found.append(load_config(Namespace(**args, amp=amp)).get("optim_wrapper"))
        except ValueError as error:
            found.append(str(error))
    assert found[0] == found[1]
