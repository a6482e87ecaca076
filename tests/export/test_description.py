"""The metadata of exports, and the models that have none."""

import copy

import pytest
from mmengine.config import ConfigDict

from mmmaskformer import __version__
from mmmaskformer.core import PanopticFusion
from mmmaskformer.datasets import ShapesPanopticDataset
from mmmaskformer.export.description import colors, describe, resize_rule
from tests.conftest import load_config

LOAD = dict(type="mmmaskformer.LoadImageFromFile")


def test_the_metadata_of_a_panoptic_model(sure_model):
    meta = describe(sure_model)
    mean, std = meta.pop("mean"), meta.pop("std")
    assert mean == pytest.approx([123.675, 116.28, 103.53])
    assert std == pytest.approx([58.395, 57.12, 57.375])
    assert meta.pop("pad_value") == mean  # 0 after the normalisation
    dataset = sure_model.dataset_meta
    assert meta.pop("classes") == list(dataset["classes"])
    assert meta.pop("palette") == [list(color) for color in dataset["palette"]]
    assert meta.pop("isthing") == list(map(bool, ShapesPanopticDataset.METAINFO["isthing"]))
    assert meta == {
        "format_version": 1,
        "package_version": __version__,
        "model": "maskformer_r18_shapes-panoptic",
        "divisor": 32,
        "resize": {"scale": [400, 300], "keep_ratio": True, "backend": "pillow"},
        "semantic": {"type": "SemanticFusion", "resize_logits": True},
        "panoptic": {"object_threshold": 0.4, "overlap_threshold": 0.1},
    }


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("maskformer_r50_ade20k", {"scale": [2048, 512], "backend": "pillow"}),
        ("maskformer_swin-t_coco-panoptic", {"scale": [1333, 800], "backend": "pillow"}),
        ("maskformer_r101_cityscapes", {"scale": [2048, 1024], "backend": "pillow"}),
        ("maskformer_r18_camvid", {"scale": [480, 360], "backend": "cv2"}),
    ],
)
def test_how_published_models_resize(name, rule):
    pipeline = load_config(name).test_dataloader.dataset.pipeline
    assert resize_rule(pipeline) == {"keep_ratio": True, **rule}


def test_no_resize_is_none():
    assert resize_rule([LOAD, dict(type="PackSegInputs")]) is None


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (dict(type="Resize", scale_factor=2.0), "wanted one Resize with scale"),
        (dict(type="Resize", scale=(4, 4), clip_object_border=False), "wanted one Resize"),
        (dict(type="ResizeShortestEdge", scale=4, max_size=9), "'ResizeShortestEdge'"),
        (dict(type="Resize", scale=(4, 4), interpolation="nearest"), "wanted 'bilinear'"),
    ],
)
def test_steps_that_can_not_be_described(step, message):
    with pytest.raises(ValueError, match=message):
        resize_rule([LOAD, step])


def test_two_resizes_can_not_be_described():
    with pytest.raises(ValueError, match="wanted one Resize"):
        resize_rule([dict(type="Resize", scale=(4, 4))] * 2)


def with_slide(model):
    model.test_cfg = ConfigDict(mode="slide")


def with_fixed_size(model):
    model.data_preprocessor.test_cfg = {"size": (4, 4)}


def with_nine_classes(model):
    model._dataset_meta, model._numbered = {"classes": list("abcdefghi")}, False


def with_other_fusion(model):
    model.decode_head.fusion = object()


def with_other_panoptic(model):
    model.decode_head.panoptic_fusion = type("MyFusion", (PanopticFusion,), {})([True] * 10)


def with_other_head(model):
    model.decode_head = model.backbone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_slide, "test_cfg.mode is 'slide'"),
        (with_fixed_size, "wanted size_divisor"),
        (with_nine_classes, "10 classes, but its metadata names 9"),
        (with_other_fusion, "fusion=object is not known"),
        (with_other_panoptic, "panoptic_fusion=MyFusion is not known"),
        (with_other_head, "a ResNet can not be exported; wanted a MaskFormerHead"),
    ],
)
def test_models_that_can_not_be_exported(sure_model, change, message):
    model = copy.deepcopy(sure_model)
    model.cfg, model.dataset_meta = sure_model.cfg, sure_model.dataset_meta
    change(model)
    with pytest.raises(ValueError, match=message):
        describe(model)


def test_classes_without_colours_get_some():
    assert colors([(1, 2, 3), [4, 5, 6]], 2) == [[1, 2, 3], [4, 5, 6]]
    made = colors(None, 200)
    assert made == colors([], 200)
    assert len({tuple(color) for color in made}) > 190


def test_padding_is_on_the_scale_of_the_input(sure_model):
    model = copy.deepcopy(sure_model)
    model.cfg, model.dataset_meta = sure_model.cfg, sure_model.dataset_meta
    model.data_preprocessor.pad_val = 2
    meta = describe(model)
    assert meta["pad_value"] == pytest.approx([123.675 + 116.79, 116.28 + 114.24, 103.53 + 114.75])
