"""The metrics as mmengine's runners use them, in one process and in two."""

import json
import logging
import os
import pickle
import socket

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS, init_default_scope
from mmengine.structures import BaseDataElement, PixelData
from torch import distributed, multiprocessing

from mmmaskformer.evaluation import PanopticQuality, metrics, read_ids, semantic_categories

META = {"classes": ("cat", "dog", "sky"), "isthing": (True, True, False)}


def panoptic_sample(seed):
    """Random blocks, of which the prediction changes a third; the class follows from the id."""
    rng = np.random.default_rng(seed)
    gt = rng.integers(0, 7, (4, 5))
    pred = np.where(rng.random(gt.shape) < 0.35, rng.integers(0, 7, gt.shape), gt)
    gt, pred = gt.repeat(6, 0), pred.repeat(6, 0)
    gt_info = [
        {
            "id": int(i),
            "category_id": int(i % 3),
            "iscrowd": int(i == 6),
            "area": int((gt == i).sum()),
        }
        for i in np.unique(gt[gt > 0])
    ]
    pred_info = [
        {"id": int(i), "category_id": int(i % 3), "score": 0.9} for i in np.unique(pred[pred > 0])
    ]
    return {
        "img_path": f"{seed}.png",
        "gt_panoptic_seg": {"ids": torch.from_numpy(gt), "segments_info": gt_info},
        "pred_panoptic_seg": {"ids": torch.from_numpy(pred).int(), "segments_info": pred_info},
    }


def semantic_sample(seed):
    rng = np.random.default_rng(seed)
    gt = rng.integers(0, 4, (4, 5)).repeat(6, 0).repeat(6, 1)
    pred = np.where(rng.random(gt.shape) < 0.2, rng.integers(0, 3, gt.shape), gt % 3)
    gt[gt == 3] = 255
    sample = BaseDataElement(metainfo={"img_path": f"{seed}.png"})
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(gt)[None])
    sample.pred_sem_seg = PixelData(data=torch.from_numpy(pred)[None])
    return sample


def evaluate(name, samples, meta=META, size=None, batch=2, **kwargs):
    metric = METRICS.build(dict(type=f"mmmaskformer.{name}", **kwargs))
    metric.dataset_meta = meta
    for start in range(0, len(samples), batch):
        metric.process(None, samples[start : start + batch])
    return metric.evaluate(size or len(samples))


def expected_panoptic(samples):
    quality = PanopticQuality(
        {"id": c, "isthing": int(thing)} for c, thing in enumerate(META["isthing"])
    )
    for sample in samples:
        gt, pred = sample["gt_panoptic_seg"], sample["pred_panoptic_seg"]
        quality.update(
            gt["ids"].numpy(), gt["segments_info"], pred["ids"].numpy(), pred["segments_info"]
        )
    assert (quality.counts[:, 1:].sum(0) > 3).all()
    return {
        key.upper() + suffix: 100 * quality.compute()[group][key]
        for group, suffix in (("All", ""), ("Things", "_th"), ("Stuff", "_st"))
        for key in ("pq", "sq", "rq")
    }


def expected_semantic(samples):
    quality = PanopticQuality(semantic_categories(META["classes"]))
    for sample in samples:
        quality.update_semantic(
            sample.gt_sem_seg.data[0].numpy(), sample.pred_sem_seg.data[0].numpy()
        )
    assert (quality.counts[:, 1] > 0).any()
    stuff = quality.compute()["Stuff"]
    return {f"{key.upper()}_st": 100 * stuff[key] for key in ("pq", "sq", "rq")}


def as_element(sample):
    element = BaseDataElement(metainfo={"img_path": sample["img_path"]})
    for key in ("gt_panoptic_seg", "pred_panoptic_seg"):
        element.set_field(BaseDataElement(**sample[key]), key)
    return element


@pytest.mark.parametrize("wrap", [dict, as_element])
def test_panoptic_values_and_names(wrap):
    samples = [panoptic_sample(seed) for seed in range(9)]
    found = evaluate("PanopticQualityMetric", [wrap(sample) for sample in samples])
    assert found == pytest.approx(expected_panoptic(samples), abs=1e-9)
    names = [f"{key}{group}" for group in ("", "_th", "_st") for key in ("PQ", "SQ", "RQ")]
    assert list(found) == names
    assert all(isinstance(value, float) for value in found.values())


def test_semantic_values_and_names():
    samples = [semantic_sample(seed) for seed in range(9)]
    expected = expected_semantic(samples)
    assert evaluate("SemanticPQMetric", samples) == pytest.approx(expected, abs=1e-9)
    dicts = [sample.to_dict() for sample in samples]
    assert evaluate("SemanticPQMetric", dicts, batch=9) == pytest.approx(expected, abs=1e-9)
    flat = [
        {key: {"data": d[key]["data"][0]} for key in ("gt_sem_seg", "pred_sem_seg")} for d in dicts
    ]
    assert evaluate("SemanticPQMetric", flat) == pytest.approx(expected, abs=1e-9)


def test_padded_samples_of_the_last_batch_do_not_count():
    samples = [panoptic_sample(seed) for seed in range(6)]
    found = evaluate("PanopticQualityMetric", samples, size=4)
    assert found == pytest.approx(expected_panoptic(samples[:4]), abs=1e-9)


def test_results_hold_counts_of_present_classes_only():
    meta = {"classes": [str(i) for i in range(1000)], "isthing": [True] * 1000}
    metric = metrics.PanopticQualityMetric()
    metric.dataset_meta = meta
    metric.process(None, [panoptic_sample(0), panoptic_sample(1)])
    assert len(metric.results) == 2
    assert len(pickle.dumps(metric.results)) < 1000
    metric.evaluate(2)
    assert metric.results == []


def test_prefix_and_ignore_index():
    samples = [semantic_sample(seed) for seed in range(3)]
    for sample in samples:
        sample.gt_sem_seg.data[sample.gt_sem_seg.data == 255] = 77
    found = evaluate("SemanticPQMetric", samples, ignore_index=77, prefix="val")
    assert list(found) == ["val/PQ_st", "val/SQ_st", "val/RQ_st"]
    with pytest.raises(ValueError, match=r"0\.png: ground truth: label values \[77\] are outside"):
        evaluate("SemanticPQMetric", samples)


@pytest.fixture
def log(monkeypatch):
    """(level, text) of what the metrics log."""
    lines = []

    def record(text, logger=None, level=logging.INFO):
        lines.append((level, text))

    monkeypatch.setattr(metrics, "print_log", record)
    return lines


def test_table_of_classes_when_asked(log):
    samples = [semantic_sample(seed) for seed in range(3)]
    evaluate("SemanticPQMetric", samples)
    assert log == []
    meta = {"classes": (*META["classes"], "never")}
    evaluate("SemanticPQMetric", samples, meta, classwise=True)
    ((_, text),) = log
    lines = text.splitlines()
    assert lines[1].split() == ["|", "PQ", "SQ", "RQ", "TP", "FP", "FN"]
    assert [line.split()[0] for line in lines[2:]] == ["cat", "dog", "sky"]
    quality = PanopticQuality(semantic_categories(META["classes"]))
    for sample in samples:
        quality.update_semantic(
            sample.gt_sem_seg.data[0].numpy(), sample.pred_sem_seg.data[0].numpy()
        )
    scores = quality.compute()["per_class"][0]
    wanted = [f"{100 * scores[key]:.1f}" for key in ("pq", "sq", "rq")]
    wanted += [str(scores[key]) for key in ("tp", "fp", "fn")]
    assert lines[2].split()[2:] == wanted


def test_group_without_classes_is_left_out_with_a_warning(log):
    ids = torch.ones(4, 4, dtype=torch.int64)
    segment = {"id": 1, "category_id": 2, "iscrowd": 0, "area": 16}
    seg = {"ids": ids, "segments_info": [segment]}
    found = evaluate("PanopticQualityMetric", [{"gt_panoptic_seg": seg, "pred_panoptic_seg": seg}])
    hundred = dict.fromkeys(("PQ", "SQ", "RQ", "PQ_st", "SQ_st", "RQ_st"), 100.0)
    assert found == hundred
    assert log == [(logging.WARNING, "PQ_th is not available: no class of this group occurs")]


def test_beside_mmsegs_iou_metric_in_one_evaluator():
    from mmseg.utils import register_all_modules

    register_all_modules()
    init_default_scope("mmseg")
    evaluator = Evaluator(
        [dict(type="IoUMetric", iou_metrics=["mIoU"]), dict(type="mmmaskformer.SemanticPQMetric")]
    )
    evaluator.dataset_meta = META
    samples = [semantic_sample(seed) for seed in range(4)]
    evaluator.process(samples, None)
    found = evaluator.evaluate(4)
    expected = expected_semantic(samples)
    assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-9)
    assert 30 < found["mIoU"] < 100


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def rank_of_two(rank, port, path):
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    # As mmengine's sampler deals five images to two processes: the last one is a repetition.
    mine = [0, 2, 4] if rank == 0 else [1, 3, 0]
    found = [
        evaluate("PanopticQualityMetric", [panoptic_sample(seed) for seed in mine], size=5),
        evaluate("SemanticPQMetric", [semantic_sample(seed) for seed in mine], size=5),
    ]
    torch.save(found, f"{path}.{rank}")
    distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    path = str(tmp_path / "found")
    multiprocessing.start_processes(
        rank_of_two, (free_port(), path), nprocs=2, start_method="forkserver"
    )
    one = [
        evaluate("PanopticQualityMetric", [panoptic_sample(seed) for seed in range(5)]),
        evaluate("SemanticPQMetric", [semantic_sample(seed) for seed in range(5)]),
    ]
    for rank in range(2):
        assert torch.load(f"{path}.{rank}", weights_only=True) == one


def test_predictions_are_written_in_cocos_format(tmp_path):
    """With the json's category ids; read back by the evaluation of files."""
    meta = {**META, "category_ids": [17, 18, 119]}
    samples = [{**panoptic_sample(seed), "img_id": 40 + seed} for seed in range(3)]
    result = evaluate("PanopticQualityMetric", samples, meta, output_dir=str(tmp_path / "out"))
    assert result == evaluate("PanopticQualityMetric", samples, meta)
    written = json.loads((tmp_path / "out/panoptic.json").read_text())
    assert [a["image_id"] for a in written["annotations"]] == [40, 41, 42]
    for sample, annotation in zip(samples, written["annotations"], strict=True):
        pred = sample["pred_panoptic_seg"]
        ids = read_ids(tmp_path / "out/panoptic" / annotation["file_name"])
        assert np.array_equal(ids, pred["ids"].numpy())
        assert annotation["segments_info"] == [
            {"id": s["id"], "category_id": meta["category_ids"][s["category_id"]]}
            for s in pred["segments_info"]
        ]
    assert len(list((tmp_path / "out/panoptic").iterdir())) == 3


def test_format_only_needs_no_ground_truth(tmp_path):
    samples = [{k: v for k, v in panoptic_sample(seed).items() if k[:2] != "gt"} for seed in (1, 2)]
    options = dict(output_dir=str(tmp_path), format_only=True)
    assert evaluate("PanopticQualityMetric", samples, **options) == {}
    written = json.loads((tmp_path / "panoptic.json").read_text())
    assert [a["image_id"] for a in written["annotations"]] == ["1", "2"]
    with pytest.raises(ValueError, match="format_only needs output_dir"):
        evaluate("PanopticQualityMetric", samples, format_only=True)


def test_mmdets_samples_hold_the_sides_under_other_names():
    samples = [panoptic_sample(seed) for seed in range(3)]
    renamed = [
        {
            "img_path": s["img_path"],
            "panoptic_truth": s["gt_panoptic_seg"],
            "panoptic_result": s["pred_panoptic_seg"],
            "gt_panoptic_seg": {"sem_seg": 0},
            "pred_panoptic_seg": {"sem_seg": 0},
        }
        for s in samples
    ]
    expected = evaluate("PanopticQualityMetric", samples)
    assert evaluate("PanopticQualityMetric", renamed) == expected


def test_what_other_detectors_predict_is_read_from_mmdets_encoding():
    samples = [panoptic_sample(seed) for seed in range(3)]
    expected = evaluate("PanopticQualityMetric", samples)
    assert 0 < expected["PQ"] < 100
    for sample in samples:
        pred = sample["pred_panoptic_seg"]
        encoded = torch.full((1, *pred["ids"].shape), len(META["classes"]))  # void
        for instance, one in enumerate(pred["segments_info"]):
            where = torch.as_tensor(pred["ids"] == one["id"])
            encoded[0, where] = one["category_id"] + 1000 * instance
        sample["panoptic_truth"] = sample.pop("gt_panoptic_seg")
        sample["pred_panoptic_seg"] = {"sem_seg": encoded}
    assert evaluate("PanopticQualityMetric", samples) == expected


def test_challenge_score_is_the_mean_of_accuracy_and_iou():
    metric = METRICS.build(dict(type="mmmaskformer.SceneParsingMetric"))
    metric.dataset_meta = META
    label = torch.tensor([[[0, 0, 1, 1, 2, 255]]])
    guess = torch.tensor([[[0, 1, 1, 1, 2, 2]]])
    sample = {"gt_sem_seg": {"data": label}, "pred_sem_seg": {"data": guess}, "img_path": "a.png"}
    metric.process({}, [sample])
    result = metric.evaluate(1)
    # IoU 1/2, 2/3, 1; 4 of 5 pixels are right.
    assert result["mIoU"] == pytest.approx(100 * (1 / 2 + 2 / 3 + 1) / 3, abs=0.01)
    assert result["score"] == pytest.approx((80 + result["mIoU"]) / 2)


def test_two_images_of_one_name_are_refused(tmp_path):
    samples = [{**panoptic_sample(1), "img_path": f"{folder}/1.jpg"} for folder in "ab"]
    with pytest.raises(ValueError, match=r"b/1\.jpg: another image of this name"):
        evaluate("PanopticQualityMetric", samples, output_dir=str(tmp_path))
