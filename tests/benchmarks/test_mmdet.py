"""Benchmarks of mmdet's panoptic models: what they are given, and the tool as a user runs it."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.kit import models, report, suite
from benchmarks.kit.batches import choose_classes, make_batch
from benchmarks.kit.measure import in_fresh_process
from tests.commands import python
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

STOCK = "mmdet::maskformer/maskformer_r50_ms-16xb1-75e_coco.py"
OURS = str(ROOT / "configs/maskformer_r50_coco-panoptic-mmdet.py")
SHAPES = str(ROOT / "configs/maskformer_r18_shapes-panoptic-mmdet.py")
TINY = ["--size", "64", "96", "--repeats", "1", "--warmup", "0", "--segments", "3"]
COCO = (True,) * 80 + (False,) * 53
WIDTHS = [64, 128, 256, 512]
R18 = {
    STOCK: {"model.backbone.depth": 18, "model.panoptic_head.in_channels": WIDTHS},
    OURS: {"model.backbone.depth": 18, "model.decode_head.in_channels": WIDTHS},
}
SETTINGS = suite.Settings((64, 96), 2, 7, 133, 1, 0, "cpu")


def spy(monkeypatch, owner, name):
    """A list that gets what a method returns."""
    seen, method = [], getattr(owner, name)

    def call(*args):
        seen.append(method(*args))
        return seen[-1]

    monkeypatch.setattr(owner, name, call)
    return seen


def step(monkeypatch, config, owner_of, method):
    """What a method of a part of the config's model returned in two training steps."""
    settings, built = replace(SETTINGS, options=R18[config]), []
    build = models.build
    with monkeypatch.context() as patch:
        patch.setattr(models, "build", lambda *args: built.append(build(*args)) or built[0])
        run = suite.prepare_train(config, settings)
    seen = spy(monkeypatch, owner_of(built[0]), method)
    run()
    run()
    return seen


def by_label(labels, masks):
    assert len(set(labels.tolist())) == len(labels)
    return dict(zip(labels.tolist(), masks.bool(), strict=True))


def test_both_models_train_on_the_same_segments(monkeypatch):
    """In the first step and in the second: a model may write into its samples."""
    theirs = step(monkeypatch, STOCK, lambda model: model.panoptic_head, "preprocess_gt")
    ours = step(monkeypatch, OURS, lambda model: type(model.decode_head.segments), "read")
    assert len(theirs) == len(ours) == 2
    for their_step, our_step in zip(theirs, ours, strict=True):
        assert len(their_step) == len(our_step) == 2
        for instances, target in zip(their_step, our_step, strict=True):
            wanted = by_label(instances.labels, instances.masks)
            numbers = torch.arange(len(target.labels))[:, None, None]
            found = by_label(target.labels, target.segment_map == numbers)
            assert found.keys() == wanted.keys()
            assert all(torch.equal(found[label], wanted[label]) for label in wanted)
            assert sum(label < 80 for label in wanted) == 3
            assert sum(80 <= label < 133 for label in wanted) == 4
            assert (sum(mask.int() for mask in wanted.values()) == 1).all()  # no overlap, no void
            assert all(mask.any() for mask in wanted.values())


def test_samples_are_as_mmdets_pipeline_packs_them():
    """Of classes whose things do not come first."""
    isthing = (False, True, False, True, True, False)
    images, samples = make_batch((40, 56), 2, 5, 6, "cpu", isthing)
    again, samples_again = make_batch((40, 56), 2, 5, 6, "cpu", isthing)
    assert torch.equal(images, again)
    for sample, other in zip(samples, samples_again, strict=True):
        (labels,) = sample.gt_sem_seg.sem_seg
        assert torch.equal(labels, other.gt_sem_seg.sem_seg[0])
        instances = sample.gt_instances
        assert sorted(instances.labels.tolist()) == [c for c in labels.unique() if isthing[c]]
        for label, mask, box in zip(
            instances.labels, instances.masks.masks, instances.bboxes, strict=True
        ):
            ys, xs = np.nonzero((labels == label).numpy())
            assert np.array_equal(mask, (labels == label).numpy())
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        truth = sample.panoptic_truth
        assert torch.equal(truth.labels[truth.segment_map[0].long()], labels)
        for key in ("img_shape", "ori_shape", "pad_shape", "batch_input_shape"):
            assert sample.metainfo[key] == (40, 56)
        assert sample.scale_factor == (1.0, 1.0)


@pytest.mark.parametrize(
    ("segments", "things"), [(1, 0), (2, 1), (7, 3), (106, 53), (110, 57), (133, 80)]
)
def test_half_of_the_segments_are_things_if_there_is_enough_stuff(segments, things):
    chosen = choose_classes(segments, 133, COCO, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == len(chosen) == segments
    assert sum(chosen < 80) == things
    few = choose_classes(9, 12, (True,) * 2 + (False,) * 10, np.random.default_rng(0))
    assert sum(few < 2) == 2
    assert len(set(few.tolist())) == 9


def test_things_of_configs():
    def load(config, **options):
        return models.load_config(config, options, frameworks=models.FRAMEWORKS)

    assert models.things_of(load(STOCK)) == models.things_of(load(OURS)) == COCO
    shapes = [True] * 4 + [False] * 6
    own = load(SHAPES, **{"model.decode_head.isthing": shapes})
    assert models.things_of(own) == tuple(shapes)
    assert models.things_of(load(str(ROOT / "configs/maskformer_r50_coco-panoptic.py"))) is None
    assert models.common_classes([load(STOCK), load(OURS)]) == 133


def test_ground_truth_is_not_part_of_inference():
    class Model:
        data_preprocessor = None

        def predict(self, images, samples):
            self.seen = samples
            samples[0].result = images

    model, (images, samples) = Model(), make_batch((8, 8), 1, 2, 133, "cpu", COCO)
    models.prediction(model, images, samples)()
    (sample,) = model.seen
    assert sample.keys() == ["result"]
    assert sample.metainfo == samples[0].metainfo
    assert sorted(samples[0].keys()) == ["gt_instances", "gt_sem_seg", "panoptic_truth"]


def imported_by_building(config):
    cfg = models.load_config(config, frameworks=models.FRAMEWORKS)
    models.register(models.framework_of(cfg))
    before = set(sys.modules)
    models.build(cfg, "cpu")
    return sorted(m for m in set(sys.modules) - before if m.startswith(("mm", "torch.nn")))


@pytest.mark.slow
def test_memory_of_imports_is_not_the_models():
    assert in_fresh_process(imported_by_building, SHAPES) == []


@pytest.mark.slow
def test_the_tool_measures_everything(tmp_path):
    printed = python("tools/benchmark.py", SHAPES, *TINY, "--out", tmp_path)
    values = json.loads((tmp_path / "benchmark.json").read_text())["results"][
        "maskformer_r18_shapes-panoptic-mmdet"
    ]
    others = ("mIoU", "aAcc", "PQ", "PQ_st", "floors")  # of tests, and of latency
    keys = [key for key in report.METRICS if key not in others]
    assert sorted(values) == sorted(keys)
    (row,) = (line for line in printed.splitlines() if "maskformer_r18_shapes-panoptic" in line)
    cells = [cell.strip() for cell in row.split("│")[2:-1]]
    assert cells == [report.METRICS[key].form.format(values[key]) for key in keys]
    # Weights, gradients and Adam's two moments, 4 bytes each.
    assert values["train_memory_mb"] > 4 * 4 * values["parameters_m"] * 1e6 / 2**20


def test_mmdets_model_beside_ours(tmp_path):
    metrics = ["--metrics", "complexity"]
    python("tools/benchmark.py", STOCK, OURS, *TINY, *metrics, "--out", tmp_path)
    run = json.loads((tmp_path / "benchmark.json").read_text())
    theirs, ours = run["results"].values()
    assert theirs["parameters_m"] == pytest.approx(45.1, abs=0.05)
    assert ours["parameters_m"] == theirs["parameters_m"]
    assert 0 < ours["gflops"] < theirs["gflops"]  # our masks do not need the pixel embedding
    assert run["settings"]["label_classes"] == 133
