"""The recipes of other systems, in their configs."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from mmmaskformer.checkpoints.conversion import WithoutMemory
from tests.conftest import load_config as load
from tests.conftest import step_of as by_type

register_all_modules()
pytestmark = pytest.mark.usefixtures("mmseg_scope")

DEEPLABS = {
    "r18_shapes-panoptic": (10, 7, 0.2, 1e-3, 400),
    "r52_cityscapes-panoptic": (19, 7, 0.2, 1e-3, 90000),
    "r52_coco-panoptic": (133, 41, 1.0, 5e-4, 200000),
    "r50_ade20k-panoptic": (150, 41, 1.0, 5e-4, 200000),
}
"""Classes, square of a centre, share of hard pixels, learning rate and iterations."""


@pytest.mark.parametrize("name", DEEPLABS)
def test_panoptic_deeplab_has_its_own_recipe(name):
    """Nothing of MaskFormer's is left: no clip of 0.01, no weight decay, no smaller backbone lr."""
    classes, kernel, share, rate, iterations = DEEPLABS[name]
    cfg = load(f"panopticdeeplab_{name}")
    assert cfg.optim_wrapper == dict(type="OptimWrapper", optimizer=dict(type="Adam", lr=rate))
    assert cfg.train_cfg.max_iters == iterations
    with WithoutMemory():
        model = MODELS.build(cfg.model)
    head = model.decode_head
    assert head.panoptic_fusion.kernel == kernel
    assert head.criterion.hard_pixel_share == share
    assert len(head.panoptic_fusion.isthing) == head.num_classes == classes
    if "r52" in name:
        assert sum(p.numel() for p in model.backbone.parameters()) == 23_631_808
        assert model.backbone.layer4[2].conv2.dilation == (8, 8)


def test_panoptic_deeplab_on_the_papers_backbone():
    """timm is not among the dependencies. The heads take strides 4, 8 and 16."""
    pytest.importorskip("timm", reason="the backbone is timm's: pip install timm")
    cfg = load("panopticdeeplab_x71_cityscapes-panoptic")
    cfg.model.backbone.pretrained = False
    with WithoutMemory():
        model = MODELS.build(cfg.model)
    assert sum(p.numel() for p in model.backbone.parameters()) == 40_289_736
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(46.96e6, abs=5e3)
    levels = model.decode_head.select(model.backbone(torch.empty(1, 3, 64, 96, device="meta")))
    assert [tuple(one.shape[1:]) for one in levels] == [(256, 16, 24), (728, 8, 12), (2048, 4, 6)]


@pytest.mark.parametrize(
    ("size", "pixels", "rate", "areas", "count", "beside"),
    [
        ("s", 641, 1e-3, (100, 1600), 61_900_200, 15_856_485),
        ("l", 1025, 3e-4, (256, 4096), 450_763_880, 107_141),
    ],
)
def test_max_deeplab_has_its_own_recipe(size, pixels, rate, areas, count, beside):
    """Parameters as published; smaller learning rates where ImageNet's weights would be."""
    cfg = load(f"maxdeeplab_{size}_coco-panoptic")
    with torch.device("meta"):
        model = MODELS.build(cfg.model)
    counts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()
    }
    assert counts.pop("auxiliary_head") == beside
    assert sum(counts.values()) == count
    assert model.decode_head.num_classes == model.auxiliary_head.num_classes == 133
    fusion = model.decode_head.panoptic_fusion
    assert (fusion.thing_area, fusion.stuff_area) == areas
    assert cfg.optim_wrapper.optimizer == dict(type="Adam", lr=rate)
    assert "clip_grad" not in cfg.optim_wrapper
    assert cfg.train_cfg.max_iters == 400_000
    assert by_type(cfg.train_dataloader.dataset.pipeline, "RandomCrop").crop_size == (pixels,) * 2
    assert cfg.model.data_preprocessor.size == (pixels, pixels)
    assert cfg.model.data_preprocessor.test_cfg == dict(size=(pixels, pixels))
    scales = by_type(cfg.train_dataloader.dataset.pipeline, "RandomChoiceResize").scales
    assert (scales[0], scales[-1]) == ((pixels // 2,) * 2, (int(pixels * 1.5),) * 2)
    cfg.optim_wrapper.paramwise_cfg.setdefault("bypass_duplicate", False)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    names = [name for name, _ in model.named_parameters()]
    slow = {n for n, g in zip(names, groups, strict=True) if g["lr"] == pytest.approx(rate / 10)}
    heads = ("backbone.stem", "backbone.stages", "backbone.decoder", "backbone.fuses")
    assert all(name.startswith(heads) and "transformers" not in name for name in slow)
    missing = {n for n in names if n.startswith(heads[:2]) and "transformers" not in n} - slow
    assert not missing
    later = {name.split(".")[2] for name in slow if name.startswith(heads[2])}
    assert later == (set() if size == "s" else {"0", "1", "2", "3"})
    assert not [name for name in slow if name.startswith("backbone.decoder.3.blocks.1")]


def test_maskformer_with_the_pq_style_losses_differs_in_nothing_else():
    plain, other = (load(f"maskformer_r18_shapes-panoptic{suffix}") for suffix in ("", "-pqstyle"))
    for key in ("loss_cls", "loss_mask", "loss_dice", "criterion", "fusion", "panoptic_fusion"):
        plain.model.decode_head.pop(key, None)
        other.model.decode_head.pop(key, None)
    assert other.pop("fusion").type == "mmmaskformer.SlotPanopticFusion"  # a variable of the file
    assert plain.to_dict() == other.to_dict()
