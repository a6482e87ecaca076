"""The ledger of what a step saves for backward, and benchmarks/memory.py as a user runs it."""

import json
import runpy
import sys

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from benchmarks.kit import ledger, suite
from benchmarks.kit.ledger import OUTSIDE, Saved
from tests.commands import mistake
from tests.conftest import ROOT

SHAPES = str(ROOT / "configs/maskformer_r18_shapes.py")


class Tiny(nn.Module):
    """A network whose ledger fits on paper."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
        self.norm = nn.GroupNorm(1, 2)

    def forward(self, x):
        y = self.norm(self.body(x))
        return (y[:, :1] * y[:, 1:]).sum()


TINY = [
    Saved("body.0", "Linear", 3 * 4 * 4),  # its input; not its weight, as x needs no gradient
    Saved("body.1", "ReLU", 3 * 5 * 4),  # its output, which the next layer saves, too
    Saved("norm", "GroupNorm", 3 * 2 * 4),  # its input,
    Saved("norm", "GroupNorm", 3 * 4),  # mean
    Saved("norm", "GroupNorm", 3 * 4),  # and deviation of each sample
    Saved("", "Tiny", 3 * 2 * 4),  # both halves of y, which are one storage
]


def test_a_ledger_by_hand():
    model, x = Tiny(), torch.randn(3, 4)
    assert ledger.saved_for_backward(model, lambda: model(x)) == TINY


def test_the_sums_of_a_ledger():
    assert ledger.by_place(TINY, 1) == {"body": 108, "norm": 48, OUTSIDE: 24}
    assert list(ledger.by_place(TINY, 2)) == ["body.0", "body.1", "norm", OUTSIDE]
    kinds = {"ReLU": 60, "Linear": 48, "GroupNorm": 48, "Tiny": 24}
    assert list(ledger.by_kind(TINY).items()) == list(kinds.items())


def test_tables_are_in_mebibytes_and_end_with_sums():
    ledgers = {
        "a": [Saved("x.0", "Conv2d", 3 << 20), Saved("x.1", "ReLU", 1 << 19)],
        "b": [Saved("y", "ReLU", 1 << 20)],
    }
    header, rows = ledger.cells(ledgers, ledger.by_kind, "class")
    assert header == ["class", "a", "b"]
    assert rows == [["Conv2d", "3.0", "-"], ["ReLU", "0.5", "1.0"], ["all", "3.5", "1.0"]]


def test_nothing_is_kept_and_backward_of_another_run_works():
    model, x = Tiny(), torch.randn(3, 4)
    ledger.saved_for_backward(model, lambda: model(x))
    model(x).backward()
    assert model.body[0].weight.grad.abs().sum() > 0
    hooks = torch.nn.modules.module
    assert not hooks._global_forward_hooks
    assert not hooks._global_forward_pre_hooks


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_of_a_checkpointed_part_only_inputs_count(use_reentrant):
    class Checkpointed(nn.Sequential):
        def forward(self, x):
            return checkpoint(super().forward, x, use_reentrant=use_reentrant)

    model = nn.Sequential(nn.Linear(4, 6), Checkpointed(nn.Linear(6, 9), nn.Sigmoid()))
    x = torch.randn(3, 4)
    found = ledger.saved_for_backward(model, lambda: model(x))
    assert [saved for saved in found if saved.bytes > 8] == [
        Saved("0", "Linear", 3 * 4 * 4),
        Saved("1", "Checkpointed", 3 * 6 * 4),
    ]


def settings(**options):
    numbers = dict(size=(64, 96), batch=2, segments=3, label_classes=5, repeats=1, warmup=0)
    return suite.Settings(**numbers, device="cpu", options=options)


def test_ledgers_of_a_config():
    found = ledger.ledger_of(SHAPES, settings())
    sums = ledger.by_place(found, 2)
    assert sums["backbone.conv1"] == 2 * 3 * 64 * 96 * 4  # the images
    # 16x24 cells: the results of two convolutions of the head, and what is made of the second.
    pixels = [saved.bytes for saved in found if "pixel_decoder" in saved.module]
    assert sorted(pixels)[-4:] == [2 * 128 * 8 * 12 * 4] + [2 * 128 * 16 * 24 * 4] * 3
    checkpointed = settings(activation_checkpointing=["backbone.layer2"])
    less = ledger.by_place(ledger.ledger_of(SHAPES, checkpointed), 2)
    assert sums["backbone.layer2"] > 800_000
    assert "backbone.layer2" not in less  # its input is what layer1 keeps
    assert less["backbone.layer1"] == sums["backbone.layer1"]


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["memory.py", *map(str, arguments)])
    runpy.run_path(str(ROOT / "benchmarks/memory.py"), run_name="__main__")


def test_the_tool_writes_what_it_prints(monkeypatch, capsys, tmp_path):
    call(monkeypatch, SHAPES, "--size", 64, 96, "--segments", 3, "--device", "cpu",
         "--depth", 1, "--out", tmp_path)  # fmt: skip
    printed = capsys.readouterr().out
    run = json.loads((tmp_path / "memory.json").read_text())
    found = [Saved(**entry) for entry in run["results"]["maskformer_r18_shapes"]]
    assert found == ledger.ledger_of(SHAPES, settings())
    text = (tmp_path / "memory.md").read_text()
    for name, size in {**ledger.by_place(found, 1), **ledger.by_kind(found)}.items():
        assert f"| {name} | {size / 2**20:.1f} |" in text
        assert name in printed
    assert run["settings"]["size"] == [64, 96]


def test_a_config_that_is_not_there(monkeypatch, capsys):
    assert "no.py" in mistake(capsys, call, monkeypatch, "no.py")
