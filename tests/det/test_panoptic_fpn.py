"""mmdet's Panoptic FPN on this package's data and metric."""

import copy
import sys

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from torch.nn import functional as F

from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.registry import DATASETS, METRICS, MODELS
from tests.conftest import load_config
from tests.datasets.conftest import PanopticFolder, segment

ADE = metainfo("ade20k")
THINGS = [k for k in range(150) if ADE["isthing"][k]]
WALL, BED, WINDOW = (ADE["classes"].index(name) for name in ("wall", "bed", "windowpane"))


@pytest.fixture(autouse=True)
def mmdet_scope():
    with DefaultScope.overwrite_default_scope("mmdet"):
        yield


@pytest.fixture
def folder(tmp_path):
    """One image: a wall, two beds, a crowd of windows, and one column of void."""
    categories = [
        dict(id=k, name=ADE["classes"][k], isthing=int(ADE["isthing"][k])) for k in range(150)
    ]
    made = PanopticFolder(tmp_path, categories)
    ids = np.full((48, 64), 7)
    ids[10:30, 5:25], ids[20:44, 30:60], ids[:8, 50:], ids[:, 0] = 1, 2, 3, 0
    owners = {7: WALL, 1: BED, 2: BED, 3: WINDOW}
    segments = [segment(s, k, int((ids == s).sum()), s == 3) for s, k in owners.items()]
    made.add("a.png", ids, segments)
    return made


def loaded(folder, name):
    """The config, and the first sample of one of its datasets on the folder's image."""
    cfg = load_config("panopticfpn_r50_ade20k-panoptic")
    wanted = copy.deepcopy(cfg[name].dataset)
    for step in wanted.pipeline:
        if "scale" in step:
            step["scale"] = (128, 96)
    wanted.pop("data_root")
    wanted.update(folder.arguments())
    return cfg, DATASETS.build(wanted)


def test_samples_have_instances_and_classes_things_first(folder):
    _, dataset = loaded(folder, "train_dataloader")
    assert dataset.metainfo["isthing"] == [True] * 100 + [False] * 50
    assert list(dataset.metainfo["classes"][:100]) == [ADE["classes"][k] for k in THINGS]
    assert len(dataset.metainfo["palette"]) == 150
    sample = dataset[0]["data_samples"]
    found, wall = sample.gt_instances, 100 + [k for k in range(150) if k not in THINGS].index(WALL)
    assert found.labels.tolist() == [THINGS.index(BED)] * 2
    classes = sample.gt_sem_seg.sem_seg[0].numpy()
    assert classes.shape == (96, 128)
    assert set(np.unique(classes)) == {THINGS.index(BED), wall, 255}
    masks = found.masks.masks.astype(bool)
    assert masks.sum() == (classes == THINGS.index(BED)).sum() == 4 * (20 * 20 + 24 * 30)
    for mask, box in zip(masks, found.bboxes.tensor.tolist(), strict=True):
        rows, columns = np.nonzero(mask)
        assert box == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def slow_nms(boxes, scores, iou_threshold, offset):
    """What mmcv compiles, as a loop."""
    order, kept = scores.argsort(descending=True).tolist(), []
    low, high = boxes[:, :2], boxes[:, 2:]
    area = (high - low).prod(1)
    for one in order:
        edges = torch.minimum(high[one], high[kept]) - torch.maximum(low[one], low[kept])
        shared = edges.clamp(min=0).prod(1)
        if not (shared > iou_threshold * (area[one] + area[kept] - shared)).any():
            kept.append(one)
    return torch.tensor(kept, dtype=torch.int64)


def slow_roi_align(maps, rois, height, width, scale):
    """The mean of four samples of each bin."""
    found = []
    for index, *box in rois.tolist():
        x0, y0, x1, y1 = (edge * scale for edge in box)
        rows = y0 + (y1 - y0) * (torch.arange(2 * height) + 0.5) / (2 * height)
        columns = x0 + (x1 - x0) * (torch.arange(2 * width) + 0.5) / (2 * width)
        grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1)
        grid = 2 * grid / torch.tensor([maps.shape[3], maps.shape[2]]) - 1
        one = F.grid_sample(maps[int(index)][None], grid[None], align_corners=False)
        found.append(F.avg_pool2d(one, 2)[0])
    return torch.stack(found) if found else maps.new_zeros(0, maps.shape[1], height, width)


@pytest.fixture
def operations(monkeypatch):
    """mmcv's own where it has compiled ones, else slow ones."""
    import mmcv.ops  # noqa: F401, which the placeholder lets pass

    compiled = sys.modules["mmcv._ext"]
    if compiled.__spec__.loader is not None:
        return

    def forward(maps, rois, out, *_, aligned_height, aligned_width, spatial_scale, **__):
        out.copy_(slow_roi_align(maps, rois, aligned_height, aligned_width, spatial_scale))

    def backward(grad, rois, _, __, out, aligned_height, aligned_width, spatial_scale, **___):
        with torch.enable_grad():
            maps = torch.zeros_like(out, requires_grad=True)
            pooled = slow_roi_align(maps, rois, aligned_height, aligned_width, spatial_scale)
            out.copy_(torch.autograd.grad(pooled, maps, grad)[0])

    for name, op in (("nms", slow_nms), ("roi_align_forward", forward)):
        monkeypatch.setattr(compiled, name, op, raising=False)
    monkeypatch.setattr(compiled, "roi_align_backward", backward, raising=False)


@pytest.mark.slow
def test_it_trains_and_is_scored_by_our_metric(folder, operations):
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    cfg, train = loaded(folder, "train_dataloader")
    cfg.model.backbone.init_cfg = None
    cfg.model.train_cfg.rpn_proposal.max_per_img = 30
    cfg.model.test_cfg.rpn.max_per_img = 20
    cfg.model.test_cfg.rcnn.score_thr = 0.0
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    assert (model.roi_head.bbox_head.num_classes, model.semantic_head.num_classes) == (100, 51)
    batch = model.data_preprocessor(pseudo_collate([train[0]]), training=True)
    loss, losses = model.parse_losses(model.train()(**batch, mode="loss"))
    assert set(losses) >= {"loss_seg", "loss_mask", "loss_bbox", "loss_rpn_cls"}
    assert loss.isfinite()
    loss.backward()
    assert model.semantic_head.conv_logits.weight.grad.any()
    assert model.roi_head.mask_head.conv_logits.weight.grad.any()
    _, val = loaded(folder, "val_dataloader")
    with torch.no_grad():
        (result,) = model.eval().test_step(pseudo_collate([val[0]]))
    assert tuple(result.pred_panoptic_seg.sem_seg.shape[-2:]) == (48, 64)
    (metric,) = (METRICS.build(one) for one in cfg.val_evaluator)
    metric.dataset_meta = val.metainfo
    metric.process({}, [result.to_dict()])
    assert 0 <= metric.evaluate(1)["PQ"] <= 100
