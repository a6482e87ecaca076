"""The hook that refuses a checkpoint of another model."""

from types import SimpleNamespace

import pytest
import torch

from mmmaskformer.engine.runner import CheckWeights


@pytest.mark.parametrize("prefix", ["", "module."])
def test_checkpoints_of_other_models_are_told_apart(prefix):
    """A smaller model finds all its weights in a larger one's checkpoint."""
    small, large = (torch.nn.ModuleDict({"backbone": torch.nn.Sequential()}) for _ in range(2))
    small.backbone.append(torch.nn.BatchNorm1d(2))
    for _ in range(2):
        large.backbone.append(torch.nn.BatchNorm1d(2))
    runner = SimpleNamespace(
        model=SimpleNamespace(module=small, modules=small.modules),
        _load_from="a.pth",
        cfg=SimpleNamespace(filename="b.py"),
    )

    def check(weights):
        named = {prefix + name: tensor for name, tensor in weights.items()}
        CheckWeights().after_load_checkpoint(runner, {"state_dict": named, "meta": {}})

    check({**small.state_dict(), "auxiliary_head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"backbone\.1\.weight is left over"):
        check(large.state_dict())
    without = {n: t for n, t in small.state_dict().items() if "running" not in n}
    with pytest.raises(ValueError, match=r"backbone\.0\.running_mean is missing"):
        check(without)
    with pytest.raises(ValueError, match=r"a\.pth does not fit the config b\.py"):
        CheckWeights().after_load_checkpoint(runner, {"model": small.state_dict()})
