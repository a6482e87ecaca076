"""mmseg's EncoderDecoder with what MaskFormer's factored output adds."""

from __future__ import annotations

from mmengine.structures import PixelData
from mmseg.models import EncoderDecoder
from mmseg.structures import SegDataSample
from torch import Tensor

from ..core.fusion import View
from ..registry import MODELS

TEST_CFG_KEYS = {"mode", "crop_size", "stride", "labels_only"}


@MODELS.register_module()
class MaskFormer(EncoderDecoder):
    """`EncoderDecoder` for a `MaskFormerHead`.

    It adds test batches of images of different sizes, and `test_cfg=dict(labels_only=True)`:
    the samples get `pred_sem_seg` but no `seg_logits`, and memory does not depend on the number
    of classes.
    """

    def __init__(self, *args, test_cfg: dict | None = None, **kwargs) -> None:
        test_cfg = {"mode": "whole", **(test_cfg or {})}
        unknown = set(test_cfg) - TEST_CFG_KEYS
        if unknown:
            raise ValueError(
                f"test_cfg has unknown keys {sorted(unknown)}; known are {sorted(TEST_CFG_KEYS)}"
            )
        from mmengine.config import ConfigDict

        super().__init__(*args, test_cfg=ConfigDict(test_cfg), **kwargs)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Score maps (B, C, H, W) of a batch (or of one sliding window) at its own size."""
        output = self.decode_head.factors(self.extract_feat(inputs))
        return self.decode_head.scores(output, inputs.shape[-2:])

    def views(self, inputs: Tensor, data_samples: list[SegDataSample]) -> list[View]:
        """One factored view per image of a preprocessed batch."""
        output = self.decode_head.factors(self.extract_feat(inputs))
        height, width = inputs.shape[-2:]
        views = []
        for index, sample in enumerate(data_samples):
            meta = sample.metainfo
            left, right, top, bottom = meta.get(
                "img_padding_size", meta.get("padding_size", (0, 0, 0, 0))
            )
            if left or top:
                raise ValueError(f"images must be padded right and bottom, got {meta}")
            if meta.get("flip") and meta.get("flip_direction") != "horizontal":
                raise ValueError(
                    f"only horizontal flips can be undone, got {meta.get('flip_direction')!r}"
                )
            content = (height - bottom, width - right)
            views.append(
                View.of(output, index, (height, width), content, bool(meta.get("flip", False)))
            )
        return views

    def predict(
        self, inputs: Tensor, data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Samples with `pred_sem_seg` (1, H, W) and, unless `labels_only`, `seg_logits`
        (C, H, W): sums over queries, not probabilities; both at `ori_shape`."""
        if self.test_cfg.mode == "slide":
            return super().predict(inputs, data_samples)
        if data_samples is None:
            shape = tuple(inputs.shape[-2:])
            data_samples = [SegDataSample(metainfo={"ori_shape": shape}) for _ in inputs]
        for sample, view in zip(data_samples, self.views(inputs, data_samples)):
            self.fuse(sample, [view])
        return data_samples

    def fuse(self, sample: SegDataSample, views: list[View]) -> None:
        """Write the result of one image, seen in one or several views, into its sample."""
        size = sample.metainfo["ori_shape"][:2]
        fusion = self.decode_head.fusion
        if self.test_cfg.get("labels_only", False):
            labels = fusion.labels(views, size)
        else:
            scores = fusion.scores(views, size)
            labels = scores.argmax(0)
            sample.set_data({"seg_logits": PixelData(data=scores)})
        sample.set_data({"pred_sem_seg": PixelData(data=labels[None])})
