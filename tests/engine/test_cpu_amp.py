"""Mixed precision on a CPU."""

import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmmaskformer.engine.cpu_amp import use_mixed_precision


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


def test_forward_is_bfloat16_and_the_update_is_float32(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    plain = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1))
    exact, dtype = step(plain)
    assert dtype == torch.float32
    config = dict(plain, type="AmpOptimWrapper", loss_scale="dynamic", dtype="float16")
    use_mixed_precision(config)
    mixed, dtype = step(config)
    assert dtype == torch.bfloat16
    assert mixed.weight.dtype == torch.float32
    difference = (mixed.weight - exact.weight).abs().max().item()
    assert 0 < difference < 1e-3  # of updates of up to 0.05


def test_a_gpu_has_float16_with_scaling(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = dict(type="OptimWrapper", loss_scale=512.0)
    use_mixed_precision(config)
    assert config == dict(type="AmpOptimWrapper", loss_scale=512.0)
