"""Fused optimizers: when they are chosen, what they compute, and resumed runs."""

import copy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from packaging import version

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.engine import fused
from tests.engine.runs import Net, log_of, losses, run
from tests.engine.test_merged_groups import MERGED, NO_BIASES, wrapper
from tests.engine.traps import SEED

needs_fused = pytest.mark.skipif(
    version.parse(torch.__version__) < version.parse("2.4"),
    reason="torch 2.4 is the first with fused optimizers on a CPU",
)


class Weight:
    """A parameter of a model on a GPU, as far as that is looked at."""

    def __init__(self, is_cuda=True, requires_grad=True, floating=True):
        self.is_cuda, self.requires_grad = is_cuda, requires_grad
        self.is_floating_point = lambda: floating


class Model:
    def __init__(self, *weights):
        self.parameters = lambda: iter(weights)


@pytest.mark.parametrize("kind", ["AdamW", "Adam", "SGD", torch.optim.AdamW])
def test_fused_where_all_that_learns_is_on_a_gpu(kind):
    cfg = dict(type=kind, lr=0.1)
    expected = dict(type=kind, lr=0.1, fused=True)
    assert fused.with_fused(cfg, Model(Weight(), Weight(False, requires_grad=False))) == expected
    assert cfg == dict(type=kind, lr=0.1)


@pytest.mark.parametrize(
    ("cfg", "weight"),
    [
        (dict(type="AdamW"), Weight(is_cuda=False)),
        (dict(type="AdamW"), Weight(floating=False)),
        (dict(type="AdamW", fused=False), Weight()),
        (dict(type="AdamW", foreach=True), Weight()),
        (dict(type="Rprop"), Weight()),
        (dict(type="nobody's"), Weight()),
    ],
)
def test_as_the_config_says_elsewhere(cfg, weight):
    assert fused.with_fused(cfg, Model(Weight(), weight)) is cfg


def step(model, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()


@needs_fused
def test_the_update_is_that_of_the_plain_optimizer(monkeypatch):
    plain = Net()
    ours = copy.deepcopy(plain)
    plain_optim = build_optim_wrapper(plain, wrapper(MERGED, **NO_BIASES)).optimizer
    # A CPU has the operation, too, but the constructor asks for it on a GPU only.
    assert not any(group.get("fused") for group in plain_optim.param_groups)
    monkeypatch.setattr(torch.nn.Parameter, "is_cuda", True, raising=False)
    optim = build_optim_wrapper(ours, wrapper(MERGED, **NO_BIASES)).optimizer
    monkeypatch.undo()
    assert [group["fused"] for group in optim.param_groups] == [True, True]
    for seed in range(5):
        step(plain, plain_optim, seed)
        step(ours, optim, seed)
    for expected, found in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@needs_fused
def test_an_optimizer_computes_in_its_own_way_after_loading():
    models = Net(), Net()
    ways = dict(foreach=True), dict(fused=True)
    optims = [torch.optim.AdamW(m.parameters(), **w) for m, w in zip(models, ways, strict=True)]
    step(models[0], optims[0], 0)
    state = copy.deepcopy(optims[0].state_dict())
    fused.compute_as(optims[1], state)
    optims[1].load_state_dict(state)
    (group,) = optims[1].param_groups
    assert (group["foreach"], group["fused"]) == (None, True)
    assert optims[0].param_groups[0]["foreach"]
    for saved in ({}, None, dict(param_groups=[]), dict(param_groups=[3])):
        before = copy.deepcopy(saved)
        fused.compute_as(optims[1], saved)
        assert saved == before


@needs_fused
@pytest.mark.parametrize("first", [None, True], ids=["plain to fused", "fused to plain"])
def test_a_run_is_resumed_in_the_other_way(tmp_path, first):
    def options(way):
        settings = wrapper(MERGED, **NO_BIASES)
        settings["optimizer"]["fused"] = way
        return dict(optim_wrapper=dict(settings, _delete_=True), **SEED)

    assert run(tmp_path / "first", **options(first)) == [0]
    path = str(tmp_path / "first" / "iter_6.pth")
    second = options(not first)
    assert run(tmp_path / "second", resume=True, load_from=path, **second) == [0], log_of(
        tmp_path / "second"
    )
    expected, found = losses(tmp_path / "first"), losses(tmp_path / "second")
    assert found.keys() == {7, 8, 9, 10, 11, 12}
    for iteration, (loss,) in found.items():
        assert [loss] == pytest.approx(list(expected[iteration]), rel=1e-5), iteration
    groups = load_checkpoint_file(str(tmp_path / "second" / "iter_12.pth"))["optimizer"]
    assert [bool(group["fused"]) for group in groups["param_groups"]] == [not first] * 2
