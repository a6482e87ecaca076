"""The id map through loading, geometry and packing, against one binary mask per segment."""

import pickle

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.structures import PixelData
from mmseg.utils import register_all_modules
from PIL import Image

from mmmaskformer.core import NO_SEGMENT, segments_from_panoptic
from mmmaskformer.datasets import (
    AntialiasResize,
    COCOPanopticDataset,
    LoadImageFromFile,
    LoadPanopticAnnotations,
    PackPanopticInputs,
    PanopticDataset,
)
from mmmaskformer.datasets.panoptic_format import read_ids
from mmmaskformer.datasets.panoptic_transforms import MOST, number_segments
from mmmaskformer.utils.png_ids import ids_to_colors
from tests.conftest import ROOT
from tests.datasets.conftest import segment

LOAD = [LoadImageFromFile(), LoadPanopticAnnotations()]
BASES = ROOT / "configs/_base_/datasets"


def crowded(folder):
    """Void, a crowd that the json lists first, stuff, and a thing of a large id."""
    ids = [[0, 70000, 70000, 3], [9, 9, 0, 3]]
    listed = [segment(9, 30, 2, 1), segment(3, 7, 2), segment(70000, 12, 2)]
    return folder.add("a.png", ids, listed)


def test_void_and_crowd_own_no_pixels(folder):
    dataset = PanopticDataset(**crowded(folder).arguments(pipeline=LOAD))
    sample = dataset[0]
    assert sample["gt_seg_map"].dtype == np.uint16
    assert sample["gt_seg_map"].tolist() == [[0, 257, 257, 256], [0, 0, 0, 256]]
    assert sample["segment_labels"].dtype == np.int64
    assert sample["segment_labels"].tolist() == [1, 2]
    assert sample["seg_fields"] == ["gt_seg_map"]
    assert "panoptic_ids" not in sample


def test_packed_for_training(folder):
    pipeline = [*LOAD, PackPanopticInputs()]
    packed = PanopticDataset(**crowded(folder).arguments(pipeline=pipeline))[0]
    sample = packed["data_samples"]
    ground_truth = sample.gt_panoptic_seg
    assert ground_truth.segment_map.dtype == torch.int32
    assert ground_truth.segment_map.tolist() == [[[-1, 1, 1, 0], [-1, -1, -1, 0]]]
    assert ground_truth.labels.dtype == torch.int64
    assert ground_truth.labels.tolist() == [1, 2]
    assert sample.gt_sem_seg.data.tolist() == [[[255, 2, 2, 1], [255, 255, 255, 1]]]
    assert set(ground_truth.keys()) == {"segment_map", "labels"}
    assert packed["inputs"].shape == (3, 2, 4)
    assert sample.img_path.endswith("a.png")
    assert sample.img_id == 0


def test_packed_for_testing_at_the_original_size(folder):
    pipeline = [LOAD[0], AntialiasResize(scale=(8, 4), keep_ratio=True)]
    pipeline += [LoadPanopticAnnotations(with_ids=True), PackPanopticInputs()]
    packed = PanopticDataset(**crowded(folder).arguments(pipeline=pipeline))[0]
    assert packed["inputs"].shape == (3, 4, 8)
    sample = packed["data_samples"]
    assert sample.ori_shape == (2, 4)
    assert sample.gt_sem_seg.data.shape == (1, 2, 4)
    ground_truth = sample.to_dict()["gt_panoptic_seg"]
    assert ground_truth["ids"].dtype == torch.int32
    assert ground_truth["ids"].tolist() == [[0, 70000, 70000, 3], [9, 9, 0, 3]]
    assert ground_truth["segments_info"] == [
        segment(9, 0, 2, 1),
        segment(3, 1, 2),
        segment(70000, 2, 2),
    ]


def test_ignore_index_and_wide_classes():
    results = {
        "img": np.zeros((1, 3, 3), np.uint8),
        "gt_seg_map": np.uint16([[0, 256, 257]]),
        "segment_labels": np.int64([846, 3]),
    }
    sample = PackPanopticInputs(ignore_index=65535)(results)["data_samples"]
    assert sample.gt_sem_seg.data.tolist() == [[[65535, 846, 3]]]
    few = {**results, "segment_labels": np.int64([0, 3])}  # classes that fit into eight bits
    sample = PackPanopticInputs(ignore_index=65535)(few)["data_samples"]
    assert sample.gt_sem_seg.data.tolist() == [[[65535, 0, 3]]]
    kept = PackPanopticInputs(meta_keys=("img_path",))({**results, "img_path": "x", "img_id": 4})
    assert kept["data_samples"].metainfo == {"img_path": "x"}


def test_image_without_ground_truth_is_packed():
    packed = PackPanopticInputs()({"img": np.zeros((2, 3, 3), np.uint8)})
    assert packed["inputs"].shape == (3, 2, 3)
    assert "gt_panoptic_seg" not in packed["data_samples"]


def test_samples_survive_workers_collation_and_devices(folder):
    pipeline = [*LOAD[:1], LoadPanopticAnnotations(with_ids=True), PackPanopticInputs()]
    packed = PanopticDataset(**crowded(folder).arguments(pipeline=pipeline))[0]
    (sample,) = pseudo_collate([pickle.loads(pickle.dumps(packed))])["data_samples"]
    moved = sample.to("meta").gt_panoptic_seg
    assert {moved.segment_map.device.type, moved.labels.device.type} == {"meta"}
    assert moved.segments_info == sample.gt_panoptic_seg.segments_info
    assert sample.clone().gt_panoptic_seg.ids.tolist() == sample.gt_panoptic_seg.ids.tolist()


def test_semantic_metric_runs_on_panoptic_data(folder):
    from mmseg.evaluation import IoUMetric

    pipeline = [*LOAD[:1], LoadPanopticAnnotations(with_ids=True), PackPanopticInputs()]
    dataset = PanopticDataset(**crowded(folder).arguments(pipeline=pipeline))
    sample = dataset[0]["data_samples"]
    prediction = sample.gt_sem_seg.data.clone()
    prediction[prediction == 255] = 0  # void and crowd do not count
    prediction[0, 0, 1] = 1  # one of two pixels of class 2
    sample.pred_sem_seg = PixelData(data=prediction)
    metric = IoUMetric()
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [sample.to_dict()])
    union, counts = metric.results[0][1], metric.results[0][0]
    assert counts.tolist() == [0, 2, 1]
    assert union.tolist() == [0, 3, 2]


@pytest.mark.parametrize("count", [0, 1, 253, 254, 255, 256, 300])
def test_any_number_of_segments(count):
    rng = np.random.default_rng(count)
    numbers = rng.permutation(np.arange(600) % (count + 1)).reshape(20, 30)
    identities = np.r_[0, rng.choice(np.arange(1, 1 << 24), count, replace=False)]
    segments = [segment(int(i), 0) for i in identities[1:]]
    numbered = number_segments(identities[numbers].astype(np.int32), segments, "x.png")
    assert numbered.dtype == np.uint16
    assert np.array_equal(numbered, np.where(numbers, numbers + 255, 0))


def test_a_map_tells_65279_segments_apart():
    ids = np.arange(1, MOST + 2, dtype=np.int32)[None]
    segments = [segment(i, 0) for i in ids[0].tolist()]
    with pytest.raises(ValueError, match="x.png has 65280 segments, more than the 65279 of a map"):
        number_segments(ids, segments, "x.png")
    numbered = number_segments(ids[:, :-1], segments[:-1], "x.png")
    assert np.array_equal(numbered, ids[:, :-1] + 255)


def test_png_round_trip(tmp_path):
    ids = np.int32([[0, 255, 256], [65536, (1 << 24) - 1, 70000]])
    Image.fromarray(ids_to_colors(ids)).save(tmp_path / "i.png")
    loaded = read_ids(tmp_path / "i.png")
    assert loaded.dtype == np.int32
    assert np.array_equal(loaded, ids)


def test_cropped_away_segment_stays_as_an_empty_mask(folder):
    folder.add("a.png", [[4, 4, 8, 8]], [segment(4, 7), segment(8, 30)])
    dataset = PanopticDataset(**folder.arguments(pipeline=LOAD))
    sample = dataset[0]
    sample.update(img=sample["img"][:, 2:], gt_seg_map=sample["gt_seg_map"][:, 2:])
    ground_truth = PackPanopticInputs()(sample)["data_samples"].gt_panoptic_seg
    target = segments_from_panoptic(ground_truth.segment_map[0], ground_truth.labels, 3)
    assert target.num_segments == 2
    assert target.labels.tolist() == [1, 0]
    assert target.masks().sum((1, 2)).tolist() == [0, 2]


def test_areas_of_real_maps_are_those_of_the_json(shared):
    root = shared / "data/coco_panoptic_mini/coco"
    dataset = COCOPanopticDataset(
        ann_file="annotations/panoptic_train2017.json",
        data_root=str(root),
        data_prefix=dict(img_path="train2017", seg_map_path="panoptic_train2017"),
        pipeline=[LoadPanopticAnnotations(with_ids=True)],
    )
    crowds = 0
    for sample in dataset:
        colors = np.asarray(Image.open(sample["seg_map_path"])).astype(int)
        ids = colors @ [1, 256, 65536]
        assert np.array_equal(sample["panoptic_ids"], ids)
        kept = [s for s in sample["segments_info"] if not s["iscrowd"]]
        crowds += len(sample["segments_info"]) - len(kept)
        assert sample["segment_labels"].tolist() == [s["category_id"] for s in kept]
        expected = np.zeros_like(ids)
        for number, info in enumerate(kept, start=256):
            expected[ids == info["id"]] = number
            assert (expected == number).sum() == info["area"]
        assert np.array_equal(sample["gt_seg_map"], expected)
    assert crowds == 6


def test_targets_from_packed_samples(folder):
    pipeline = [*LOAD, PackPanopticInputs()]
    sample = PanopticDataset(**crowded(folder).arguments(pipeline=pipeline))[0]["data_samples"]
    ground_truth = sample.gt_panoptic_seg
    target = segments_from_panoptic(ground_truth.segment_map[0], ground_truth.labels, 3, "a")
    assert (target.segment_map == NO_SEGMENT).sum() == 4
    assert target.masks().sum((1, 2)).tolist() == [2, 2]


FILLS = [
    dict(type="Pad", size=(9, 8)),
    dict(type="Pad", size=(9, 8), pad_val=dict(img=0, seg=3)),
    dict(type="Pad", size=(9, 8), pad_val=dict(img=0, seg=65535)),
    dict(type="RandomRotate", prob=1.0, degree=(45, 45), auto_bound=True),
    dict(type="RandomCutOut", prob=1.0, n_holes=3, cutout_shape=(3, 3), seg_fill_in=255),
]


@pytest.mark.parametrize("count", [3, 40])
@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: str(fill))
def test_what_transforms_fill_in_is_void(folder, fill, count):
    """With few and with many segments; the image is white where a segment is, so holes are not."""
    register_all_modules(init_default_scope=True)
    ids = 1 + np.arange(40).reshape(5, 8) % count
    segments = [segment(int(i), 7, int((ids == i).sum())) for i in np.unique(ids)]
    folder.add("a.png", ids, segments, np.full((5, 8, 3), 255, np.uint8))
    pipeline = [*LOAD, fill, PackPanopticInputs()]
    np.random.seed(0)
    packed = PanopticDataset(**folder.arguments(pipeline=pipeline))[0]
    truth, image = packed["data_samples"].gt_panoptic_seg, packed["inputs"].numpy()
    numbers, classes = truth.segment_map[0], packed["data_samples"].gt_sem_seg.data[0]
    holes = (image == 0).all(0)
    assert holes.any()
    assert (numbers[holes] == -1).all()
    assert (classes[holes] == 255).all()
    whole = (image == 255).all(0)
    assert ((numbers[whole] >= 0) & (numbers[whole] < count)).all()
    assert (classes[whole] == 1).all()


def test_three_hundred_segments_and_padding_with_255():
    numbers = np.arange(600, dtype=np.int32).reshape(20, 30) // 2 + 1
    segments = [segment(i, 0, 2) for i in range(1, 301)]
    coded = number_segments(numbers, segments, "x.png")
    padded = np.pad(coded, ((0, 4), (0, 0)), constant_values=255)
    results = dict(img=np.zeros((24, 30, 3), np.uint8), gt_seg_map=padded)
    packed = PackPanopticInputs()({**results, "segment_labels": np.zeros(300, np.int64)})
    found = packed["data_samples"].gt_panoptic_seg.segment_map[0].numpy()
    assert (found[20:] == -1).all()
    assert np.array_equal(found[:20], numbers - 1)
