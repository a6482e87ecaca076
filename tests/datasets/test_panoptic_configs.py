"""Dataset configs against the table of the original's recipes; both pipelines on generated data."""

import pytest
from mmengine.config import Config
from mmseg.registry import DATASETS

from tests.conftest import ROOT
from tests.reference import recipes
from tests.test_configs import by_type, numbers

BASES = ROOT / "configs/_base_/datasets"
PANOPTIC = "coco-panoptic/maskformer_panoptic_R50_bs64_554k"
SWIN_L = "coco-panoptic/swin/maskformer_panoptic_swin_large_IN21k_384_bs64_554k"
ROWS = {
    "coco_panoptic": PANOPTIC,
    "coco_panoptic_1000": SWIN_L,
    "ade20k_panoptic": "ade20k-150-panoptic/maskformer_panoptic_R50_bs16_720k",
    # The original has no panoptic Cityscapes model: the semantic one's data.
    "cityscapes_panoptic": "cityscapes-19/maskformer_R101_bs16_90k",
}

EVALUATORS = [
    dict(type="mmmaskformer.PanopticQualityMetric"),
    dict(type="mmmaskformer.IoUMetric", ignore_index=255),
]


@pytest.fixture(params=ROWS)
def recipe(request):
    rows = {row["config"]: row for row in recipes()}
    cfg = Config.fromfile(BASES / f"{request.param}.py")
    return rows[f"configs/{ROWS[request.param]}.yaml"], cfg


def test_sizes_and_loaders(recipe):
    row, cfg = recipe
    train, test = (cfg[f"{s}_dataloader"].dataset.pipeline for s in ("train", "test"))
    resize = by_type(train, "RandomChoiceResize")
    longest = int(row["max_size_train"])
    assert resize.scales == [(longest, s) for s in numbers(row["min_size_train"])]
    assert resize.resize_type == "mmmaskformer.AntialiasResize"
    assert resize.keep_ratio
    assert by_type(train, "RandomFlip").prob == float(row["hflip"])
    resize = by_type(test, "Resize")
    assert resize.scale == (int(row["max_size_test"]), int(row["min_size_test"]))
    assert (resize.keep_ratio, resize.backend) == (True, "pillow")
    assert cfg.train_dataloader.batch_size * int(row["gpus"]) == int(row["batch"])
    assert cfg.train_dataloader.num_workers == int(row["num_workers"])
    assert cfg.val_dataloader == cfg.test_dataloader
    assert cfg.val_evaluator == cfg.test_evaluator == EVALUATORS


def test_crop_colour_and_padding(recipe):
    row, cfg = recipe
    train = cfg.train_dataloader.dataset.pipeline
    types = [step["type"].split(".")[-1] for step in train]
    assert ("PhotoMetricDistortion" in types) == (row["color_aug_ssd"] == "True")
    assert ("Pad" in types) == (row["mapper_pad_to"] != "-1")
    if "Pad" in types:
        pad = by_type(train, "Pad")
        assert pad.size == (int(row["mapper_pad_to"]),) * 2
        assert pad.pad_val == dict(img=(128, 128, 128), seg=0)
    if row["crop_type"] == "absolute":
        crop = by_type(train, "RandomCrop")
        assert list(crop.crop_size) == numbers(row["crop_size"])
        assert crop.cat_max_ratio == float(row["single_cat_max_area"])
        assert crop.ignore_index == 0
    else:
        sometimes = by_type(train, "RandomApply")
        assert types.index("RandomApply") < types.index("RandomChoiceResize")
        assert sometimes.prob == 0.5
        resize, crop = sometimes.transforms
        assert [min(scale) for scale in resize.scales] == [400, 500, 600]
        assert min(max(scale) for scale in resize.scales) >= 100000  # the long edge is free
        assert (crop.type, crop.crop_type) == ("mmdet.RandomCrop", row["crop_type"])
        assert list(crop.crop_size) == numbers(row["crop_size"])


def build(dataset, root):
    return DATASETS.build({**dataset, "data_root": str(root)})


def check_samples(dataset, training):
    for index in range(3):
        packed = dataset[index]
        sample = packed["data_samples"]
        ground_truth = sample.gt_panoptic_seg
        size = tuple(packed["inputs"].shape[1:]) if training else sample.ori_shape
        assert ground_truth.segment_map.shape == (1, *size)
        assert sample.gt_sem_seg.data.shape == (1, *size)
        assert ("ids" in ground_truth) == (not training)
        owned = ground_truth.segment_map >= 0
        classes = ground_truth.labels[ground_truth.segment_map[owned].long()]
        assert classes.tolist() == sample.gt_sem_seg.data[owned].tolist()
        assert sample.gt_sem_seg.data[~owned].unique().tolist() in ([], [255])
        if not training:
            known = {0, *(s["id"] for s in ground_truth.segments_info)}
            assert set(ground_truth.ids.unique().tolist()) <= known


@pytest.mark.parametrize("name", ["coco_panoptic", "coco_panoptic_1000"])
def test_coco_pipelines_run(coco, name):
    cfg = Config.fromfile(BASES / f"{name}.py")
    check_samples(build(cfg.train_dataloader.dataset, coco), training=True)
    check_samples(build(cfg.test_dataloader.dataset, coco), training=False)


def test_shapes_pipelines_run(shapes_root):
    cfg = Config.fromfile(BASES / "shapes_panoptic.py")
    check_samples(build(cfg.train_dataloader.dataset, shapes_root), training=True)
    check_samples(build(cfg.test_dataloader.dataset, shapes_root), training=False)
    assert cfg.val_evaluator == EVALUATORS
