"""The front door without a framework: what the page says, and the defaults of the paper."""

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from mmmaskformer import core
from tests.conftest import ROOT

BLOCKED = """
import sys
for name in ("mmengine", "mmcv", "mmseg", "mmdet", "matplotlib", "rich"):
    sys.modules[name] = None  # makes their import fail
"""


def test_the_example_of_the_page_runs_without_openmmlab():
    page = (ROOT / "docs/core.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(example.strip().splitlines()) <= 20
    code = BLOCKED + example + "\nprint(round(sum(losses.values()).item(), 2), labels.shape)"
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, text=True, capture_output=True
    )
    assert result.returncode == 0, result.stderr
    loss, shape = result.stdout.split(maxsplit=1)
    assert float(loss) > 1
    assert shape.strip() == "torch.Size([64, 64])"


def features(channels=(8, 16, 24, 32), size=64):
    strides = (4, 8, 16, 32)
    return [torch.randn(2, c, size // s, size // s) for c, s in zip(channels, strides, strict=True)]


def small(**options):
    sizes = dict(channels=16, mask_channels=16, norm_groups=4, num_heads=2, num_queries=6)
    return core.build_maskformer((8, 16, 24, 32), 5, **{**sizes, "decoder_layers": 2, **options})


def test_the_defaults_are_the_papers():
    model = core.build_maskformer((256, 512, 1024, 2048), 150)
    head = sum(parameter.numel() for parameter in model.parameters())
    assert 23_508_032 + head == pytest.approx(41.3e6, rel=1e-3)  # with a ResNet-50
    losses, costs = model.criterion, model.criterion.assigner.match_costs
    assert [losses.loss_cls.loss_weight, losses.loss_cls.no_object_weight] == [1.0, 0.1]
    assert [losses.loss_mask.loss_weight, losses.loss_dice.loss_weight] == [20.0, 1.0]
    assert [cost.weight for cost in costs] == [1.0, 20.0, 1.0]
    assert model(features((256, 512, 1024, 2048))).class_logits.shape == (6, 2, 100, 151)


def test_options_reach_their_parts():
    model = small(
        encoder_layers=1,
        self_attention=False,
        deep_supervision=False,
        dropout=0.3,
        class_weight=2.0,
        mask_weight=5.0,
        dice_weight=3.0,
        no_object_weight=0.4,
    )
    predictor, criterion = model.predictor, model.criterion
    assert len(predictor.pixel_decoder.encoder_layers) == 1
    assert not predictor.transformer_decoder.layers[0].self_attention
    dropouts = [part.p for part in model.modules() if isinstance(part, nn.Dropout)]
    assert set(dropouts) == {0.3}
    assert model(features()).num_layers == 1
    assert criterion.loss_cls.no_object_weight == 0.4
    for loss, weight in (("cls", 2.0), ("mask", 5.0), ("dice", 3.0)):
        assert getattr(criterion, f"loss_{loss}").loss_weight == weight
    assert [cost.weight for cost in criterion.assigner.match_costs] == [2.0, 5.0, 3.0]


def test_labels_are_the_fusions_of_each_image():
    model, maps = small().eval(), features()
    with torch.no_grad():
        found = model.labels(maps, (64, 64), [(50, 70), (64, 64)])
        views = core.views_of(model(maps), (64, 64))
    for labels, view, size in zip(found, views, [(50, 70), (64, 64)], strict=True):
        assert torch.equal(labels, core.SemanticFusion().labels([view], size))
    with pytest.raises(ValueError, match="zip"):
        model.labels(maps, (64, 64), [(50, 70)])


def test_weights_are_those_of_the_head_in_openmmlabs_models():
    """A checkpoint loads without its `decode_head.`."""
    from mmmaskformer.heads.maskformer_head import MaskFormerHead

    head = MaskFormerHead(
        [8, 16, 24, 32],
        5,
        channels=16,
        mask_channels=16,
        num_queries=6,
        pixel_decoder=dict(norm_groups=4),
        transformer_decoder=dict(num_layers=2, num_heads=2),
    )
    model = small()
    model.load_state_dict(head.state_dict())
    for ours, theirs in zip(model.parameters(), head.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (dict(input_size=(0, 64)), r"input_size\[0\] must be at least 1, got 0"),
        (
            dict(input_size=(64, 64.5)),
            r"input_size\[1\] must be a whole number at least 1, got 64.5",
        ),
        (dict(input_size=64), "input_size must be a height and a width, got 64"),
        (
            dict(input_size=(64, 64), output_sizes=[(8, -8)]),
            r"output_sizes\[0\]\[1\] must be at least 1, got -8",
        ),
    ],
)
def test_sizes_that_are_none(sizes, message):
    with pytest.raises(ValueError, match=message):
        small().eval().labels(features(), **sizes)
