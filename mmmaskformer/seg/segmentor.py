"""mmseg's EncoderDecoder with what MaskFormer's factored output adds."""

from __future__ import annotations

from mmengine.config import ConfigDict
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmseg.models import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from ..core.checks import check_number
from ..core.views import AnyView
from ..heads.base import check_results, is_mirrored, naming
from ..heads.names import ClassNames
from ..registry import MODELS
from .data_preprocessor import MaskFormerDataPreProcessor

RESULTS = ("semantic_on", "panoptic_on", "instance_on")
TEST_CFG_KEYS = {
    "whole": {"mode", "labels_only", *RESULTS},
    "slide": {"mode", "labels_only", "crop_size", "stride"},
}


@MODELS.register_module()
class MaskFormer(ClassNames, EncoderDecoder):
    """`EncoderDecoder` for the heads of this package: MaskFormer's and the per-pixel baselines'.

    It adds test batches of images of different sizes, and in `test_cfg`:

    * `labels_only=True`: the samples get `pred_sem_seg` but no `seg_logits`, and (unless
      sliding) score maps exist in bands of rows only;
    * `semantic_on` (default True), `panoptic_on`, `instance_on`: which results the samples get,
      from one pass of the network. `pred_panoptic_seg` has `ids` (H, W) int32, 0 is void, and
      `segments_info`; `pred_instances` has `labels`, `scores` and `masks` (N, H, W).
    """

    def __init__(self, *args, test_cfg: dict | None = None, **kwargs) -> None:
        test_cfg = ConfigDict({"mode": "whole", **(test_cfg or {})})
        check_test_cfg(test_cfg)
        super().__init__(*args, test_cfg=test_cfg, **kwargs)
        check_results(test_cfg, self.decode_head)
        if isinstance(self.data_preprocessor, MaskFormerDataPreProcessor):
            self.data_preprocessor.segments = self.decode_head.segments

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Score maps (B, C, H, W) of a batch (or of one sliding window) at its own size."""
        with naming(batch_img_metas):
            return self.decode_head.scores(self.extract_feat(inputs), inputs.shape[-2:])

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Samples with `pred_sem_seg` (1, H, W) and, unless `labels_only`, `seg_logits`
        (C, H, W): sums over queries, not probabilities; both at `ori_shape`. Panoptic and
        instance results as the class says."""
        if self.test_cfg.mode == "slide":
            results = super().predict(inputs, data_samples)
            if self.test_cfg.get("labels_only"):
                for sample in results:
                    del sample.seg_logits
            return results
        if data_samples is None:
            shape = tuple(inputs.shape[-2:])
            data_samples = [SegDataSample(metainfo={"ori_shape": shape}) for _ in inputs]
        for sample, view in zip(data_samples, make_views(self, inputs, data_samples), strict=True):
            with naming([sample.metainfo]):
                fuse_views(self, sample, [view])
        return data_samples


def check_test_cfg(test_cfg: dict) -> None:
    """Raise ValueError for an unknown mode, an unknown key, or a window without its size."""
    mode = test_cfg["mode"]
    if mode not in TEST_CFG_KEYS:
        raise ValueError(f"test_cfg.mode must be 'whole' or 'slide', got {mode!r}")
    known = TEST_CFG_KEYS[mode]
    if set(test_cfg) - known:
        raise ValueError(
            f"test_cfg has unknown keys {sorted(set(test_cfg) - known)} for mode {mode!r}; known "
            f"are {sorted(known)}"
        )
    missing = {"crop_size", "stride"} & known - set(test_cfg)
    if missing:
        raise ValueError(f"test_cfg needs {sorted(missing)} for mode 'slide'")
    for key in set(test_cfg) - {"mode", "crop_size", "stride"}:
        if not isinstance(test_cfg[key], bool):
            raise ValueError(f"test_cfg.{key} must be True or False, got {test_cfg[key]!r}")
    if mode == "slide":
        windows = [test_cfg[key] for key in ("crop_size", "stride")]
        for crop, stride in zip(*windows, strict=True):
            check_number("test_cfg.crop_size", crop, 1, whole=True)
            check_number("test_cfg.stride, within crop_size,", stride, 1, crop, whole=True)


def make_views(
    segmentor: EncoderDecoder, inputs: Tensor, data_samples: list[SegDataSample]
) -> list[AnyView]:
    """One view per image of a preprocessed batch (B, 3, H, W)."""
    height, width = inputs.shape[-2:]
    contents, flips = [], []
    for sample in data_samples:
        meta = sample.metainfo
        left, right, top, bottom = meta.get(
            "img_padding_size", meta.get("padding_size", (0, 0, 0, 0))
        )
        if left or top:
            raise ValueError(f"images must be padded right and bottom, got {meta}")
        contents.append((height - bottom, width - right))
        flips.append(is_mirrored(meta))
    features = segmentor.extract_feat(inputs)
    return segmentor.decode_head.views(features, (height, width), contents, flips)


def fuse_views(segmentor: EncoderDecoder, sample: SegDataSample, views: list[AnyView]) -> None:
    """Write the results of one image, seen in one or several views, into its sample."""
    size = sample.metainfo["ori_shape"][:2]
    head, test_cfg = segmentor.decode_head, segmentor.test_cfg or {}
    if test_cfg.get("semantic_on", True):
        if test_cfg.get("labels_only", False):
            labels = head.fusion.labels(views, size)
        else:
            scores = head.fusion.scores(views, size)
            labels = scores.argmax(0)
            sample.set_data({"seg_logits": PixelData(data=scores)})
        sample.set_data({"pred_sem_seg": PixelData(data=labels[None])})
    panoptic, instance = (test_cfg.get(f"{kind}_on", False) for kind in ("panoptic", "instance"))
    merged = head.merge(views) if panoptic or instance else None
    if panoptic:
        result = head.panoptic_fusion(merged, size)
        sample.pred_panoptic_seg = BaseDataElement(**vars(result))
    if instance:
        sample.pred_instances = InstanceData(**vars(head.instance_fusion(merged, size)))
