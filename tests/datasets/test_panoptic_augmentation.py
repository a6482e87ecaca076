"""The recipes' geometry on the id map, against one binary mask per segment."""

import cv2
import numpy as np
import pytest
from mmengine.config import Config
from mmengine.dataset import Compose
from PIL import Image

from mmmaskformer.datasets import AntialiasResize
from tests.conftest import ROOT

BASES = ROOT / "configs/_base_/datasets"


def config_pipeline(name, reference=False):
    """A training pipeline between loading and packing; `reference`: with pillow's resizing."""
    steps = list(Config.fromfile(BASES / f"{name}.py").train_pipeline[2:-1])
    for step in [*steps, *(s for outer in steps for s in outer.get("transforms", []))]:
        if reference and "resize_type" in step:
            step.update(resize_type="Resize", backend="pillow")
    return Compose(steps)


def scene(seed, size, count=12):
    """Image whose colour says the segment, map and labels; an eighth of it is void."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[: size[0], : size[1]]
    points = rng.uniform(0, 1, (count, 2)) * size
    numbers = np.argmin([(ys - y) ** 2 + (xs - x) ** 2 for y, x in points], 0) + 1
    numbers[: size[0] // 8] = 0
    colors = rng.integers(0, 255, (count + 1, 3), dtype=np.uint8)
    return {
        "img": colors[numbers],
        "img_shape": tuple(size),
        "ori_shape": tuple(size),
        "gt_seg_map": numbers.astype(np.uint8),
        "segment_labels": rng.integers(0, 19, count),
        "seg_fields": ["gt_seg_map"],
    }, colors


@pytest.mark.parametrize("name", ["coco_panoptic", "ade20k_panoptic", "cityscapes_panoptic"])
@pytest.mark.parametrize("seed", range(6))
def test_augmented_map_equals_every_mask_augmented_alone(name, seed):
    results, _ = scene(seed, (240 + 31 * seed, 320 - 17 * seed))
    masks = [(results["gt_seg_map"] == k).astype(np.uint8) for k in range(13)]
    pipeline, reference = config_pipeline(name), config_pipeline(name, reference=True)
    np.random.seed(seed)
    ours = pipeline({**results, "img": results["img"].copy()})
    for k, mask in enumerate(masks):
        np.random.seed(seed)
        alone = reference({**results, "img": results["img"].copy(), "gt_seg_map": mask})
        if k:
            assert np.array_equal(ours["gt_seg_map"] == k, alone["gt_seg_map"] == 1), k
        assert ours["img"].shape == alone["img"].shape == (*ours["gt_seg_map"].shape, 3)
    assert ours["gt_seg_map"].max() <= 12


@pytest.mark.parametrize("seed", range(8))
def test_map_stays_on_the_image(seed):
    """Away from borders a pixel has the colour of the segment that the map says."""
    results, colors = scene(seed, (400, 560), 5)
    np.random.seed(seed)
    ours = config_pipeline("coco_panoptic")(results)
    inner = np.zeros(ours["gt_seg_map"].shape, bool)
    for k in range(6):
        mask = (ours["gt_seg_map"] == k).astype(np.uint8)
        inner |= cv2.erode(mask, np.ones((25, 25), np.uint8)).astype(bool)
    assert inner.mean() > 0.5
    expected = colors[ours["gt_seg_map"]][inner].astype(int)
    assert np.abs(ours["img"][inner].astype(int) - expected).max() <= 1


def test_coco_crops_half_of_the_images_and_draws_each_side():
    pipeline = config_pipeline("coco_panoptic")
    ratios, resized = [], set()
    for seed in range(60):
        results, _ = scene(0, (480, 640))
        np.random.seed(seed)
        height, width = pipeline(results)["img"].shape[:2]
        ratios.append(width / height)
        resized.add(min(height, width))
    plain = [r for r in ratios if abs(r - 4 / 3) < 0.005]
    assert 18 <= len(plain) <= 42
    cropped = [r for r in ratios if abs(r - 4 / 3) >= 0.005]
    assert min(cropped) < 0.9 < 1.1 < max(cropped)
    assert min(resized) >= 480
    assert max(resized) == 800


@pytest.mark.parametrize("size", [(300, 500), (384, 384), (450, 900), (700, 599)])
def test_crop_range_of_the_recipe(size):
    """Each side between min(side, 384) and min(side, 600), both included."""
    (apply,) = [
        s
        for s in Config.fromfile(BASES / "coco_panoptic.py").train_pipeline
        if s["type"] == "RandomApply"
    ]
    crop = Compose([apply.transforms[1]])
    seen = []
    for seed in range(40):
        results, _ = scene(0, size, 3)
        np.random.seed(seed)
        cropped = crop(results)
        assert cropped["gt_seg_map"].shape == cropped["img"].shape[:2] == cropped["img_shape"]
        seen.append(cropped["img_shape"])
    for side, got in zip(size, np.array(seen).T, strict=True):
        low, high = min(side, 384), min(side, 600)
        assert low <= got.min() <= got.max() <= high
        assert got.max() - got.min() >= 0.8 * (high - low)
    assert any(a != b for a, b in seen) == (min(size) != max(size) or size[0] > 384)


@pytest.mark.parametrize("name", ["coco_panoptic", "ade20k_panoptic"])
def test_many_segments_go_through_the_recipes(name):
    results, _ = scene(3, (200, 260))
    numbers = np.arange(52000).reshape(200, 260) // 130  # 0..399
    narrow = (numbers == 300).astype(np.uint8)
    outputs = []
    for labels in (numbers.astype(np.uint16), narrow):
        np.random.seed(5)
        outputs.append(config_pipeline(name)({**results, "gt_seg_map": labels})["gt_seg_map"])
    assert outputs[0].dtype == np.uint16
    assert outputs[0].max() > 256
    assert np.array_equal(outputs[0] == 300, outputs[1] == 1)


def test_ade20k_pads_the_map_with_void_and_the_image_with_grey():
    results, _ = scene(1, (200, 320))
    results["gt_seg_map"][:] = 1
    padded = 0
    for seed in range(20):
        np.random.seed(seed)
        ours = config_pipeline("ade20k_panoptic")({**results, "img": results["img"].copy()})
        assert ours["img"].shape == (640, 640, 3)
        assert ours["gt_seg_map"].shape == (640, 640)
        outside = ours["gt_seg_map"] == 0
        assert (ours["img"][outside] == 128).all()
        padded += outside.any()
    assert 3 <= padded <= 17


@pytest.mark.parametrize("scale", [(64, 40), (77, 50), (128, 30), (128, 100), (1000, 700)])
@pytest.mark.parametrize("keep_ratio", [True, False])
def test_antialias_resize_has_pillows_pixels(scale, keep_ratio):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (50, 77, 3), dtype=np.uint8)
    labels = rng.integers(0, 9, (50, 77)).astype(np.uint8)
    results = dict(img=image, img_shape=(50, 77), gt_seg_map=labels, seg_fields=["gt_seg_map"])
    ours = AntialiasResize(scale=scale, keep_ratio=keep_ratio)(dict(results))
    size = ours["img"].shape[1::-1]
    factor = min(max(scale) / 77, min(scale) / 50)
    assert size == ((int(77 * factor + 0.5), int(50 * factor + 0.5)) if keep_ratio else scale)
    pillow = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    worst = np.abs(ours["img"].astype(int) - np.asarray(pillow)).max()
    assert worst <= (1 if min(size[0] / 77, size[1] / 50) >= 1 else 0)
    nearest = Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)
    assert np.array_equal(ours["gt_seg_map"], np.asarray(nearest))
    assert ours["img_shape"] == size[::-1]
    assert ours["scale_factor"] == (size[0] / 77, size[1] / 50)
    wide = AntialiasResize(scale=scale, keep_ratio=keep_ratio)(
        {**results, "gt_seg_map": labels.astype(np.uint16) * 300}
    )
    assert np.array_equal(wide["gt_seg_map"], ours["gt_seg_map"].astype(np.uint16) * 300)


def test_resize_without_ground_truth():
    results = AntialiasResize(scale=(8, 4))({"img": np.zeros((2, 4, 3), np.uint8)})
    assert results["img"].shape == (4, 8, 3)
