"""MaskFormer as a detector for mmdet's runner, samples and visualizer."""

from __future__ import annotations

import torch
from mmdet.models.detectors import BaseDetector
from mmdet.structures import DetDataSample
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from torch import Tensor

from ..core.structures import to_device
from ..heads.base import check_results, is_mirrored, naming
from ..heads.names import ClassNames
from ..registry import MODELS
from .data_preprocessor import MaskFormerDetDataPreprocessor
from .panoptic_encoding import add_panoptic_truth, encode_segments


@MODELS.register_module()
class MaskFormerDetector(ClassNames, BaseDetector):
    """Backbone and a `MaskFormerHead` under mmdet's names; the weights are those of the
    segmentor `MaskFormer`.

    Args:
        test_cfg: `panoptic_on` (default True), `instance_on`, `semantic_on`: which results the
            samples get, as in mmdet. `pred_panoptic_seg.sem_seg` (1, H, W) is in mmdet's encoding
            (class + 1000 * instance, void = number of classes), and `panoptic_result` has `ids`
            and `segments_info`, with scores; `pred_instances` has `labels`, `scores`, `bboxes`
            and `masks`; `pred_sem_seg.sem_seg` (1, H, W).
    """

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        *,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.backbone = MODELS.build(backbone)
        self.decode_head = MODELS.build(decode_head)
        self.train_cfg = train_cfg
        self.test_cfg = {"panoptic_on": True, **(test_cfg or {})}
        unknown = set(self.test_cfg) - {"panoptic_on", "instance_on", "semantic_on"}
        if unknown:
            raise ValueError(f"test_cfg has unknown keys {sorted(unknown)}")
        check_results(self.test_cfg, self.decode_head)
        if isinstance(self.data_preprocessor, MaskFormerDetDataPreprocessor):
            self.data_preprocessor.segments = self.decode_head.segments

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """The backbone's levels."""
        return self.backbone(batch_inputs)

    def loss(self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]) -> dict:
        """Losses of `MaskFormerHead`. The ground truth is the samples' `panoptic_truth` with
        `segment_map` and `labels`, else `gt_panoptic_seg` in mmdet's encoding."""
        add_panoptic_truth(batch_data_samples, self.decode_head.num_classes)
        return self.decode_head.loss(self.extract_feat(batch_inputs), batch_data_samples, {})

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample]
    ) -> list[DetDataSample]:
        """Samples with results at `ori_shape`."""
        contents = [sample.metainfo["img_shape"][:2] for sample in batch_data_samples]
        flips = [is_mirrored(sample.metainfo) for sample in batch_data_samples]
        features = self.extract_feat(batch_inputs)
        views = self.decode_head.views(features, batch_inputs.shape[-2:], contents, flips)
        for sample, view in zip(batch_data_samples, views, strict=True):
            with naming([sample.metainfo]):
                self.add_results(sample, view)
        return batch_data_samples

    def add_results(self, sample: DetDataSample, view) -> None:
        """Write the results of one image into its sample."""
        size, head = sample.metainfo["ori_shape"][:2], self.decode_head
        panoptic, instance = self.test_cfg["panoptic_on"], self.test_cfg.get("instance_on")
        merged = head.merge([view]) if panoptic or instance else None
        if panoptic:
            result = head.panoptic_fusion(merged, size)
            classes = [segment["category_id"] for segment in result.segments_info]
            labels = to_device(torch.tensor(classes, dtype=torch.int32), result.ids.device)
            encoded = encode_segments(result.ids - 1, labels, head.num_classes)
            sample.pred_panoptic_seg = PixelData(sem_seg=encoded[None])
            sample.panoptic_result = BaseDataElement(**vars(result))
        if instance:
            result = head.instance_fusion(merged, size)
            boxes = boxes_of(result.masks)
            sample.pred_instances = InstanceData(bboxes=boxes, **vars(result))
        if self.test_cfg.get("semantic_on"):
            labels = head.fusion.labels([view], size)
            sample.pred_sem_seg = PixelData(sem_seg=labels[None])

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample] | None = None
    ) -> tuple[Tensor, Tensor]:
        return self.decode_head(self.extract_feat(batch_inputs))


def boxes_of(masks: Tensor) -> Tensor:
    """Boxes (N, 4) float32 of masks (N, H, W): left, top, right, bottom, the last two outside.

    They are those of mmdet's `mask2bbox`, which makes a GPU wait several times for every mask. A
    mask without a pixel has 0, 0, 0, 0.
    """
    sides = []
    for occupied in (masks.any(1), masks.any(2)):  # columns, rows
        place = torch.arange(1, occupied.shape[1] + 1, device=masks.device) * occupied
        last = place.amax(1)
        first = torch.where(occupied, place - 1, occupied.shape[1]).amin(1)
        sides.append((torch.minimum(first, last), last))
    (left, right), (top, bottom) = sides
    return torch.stack([left, top, right, bottom], 1).float()
