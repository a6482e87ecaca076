"""HMSANet's attention between scales (Tao et al., 2020), around any head of pixels."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models import EncoderDecoder
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn

from ..core import class_map
from ..core.checks import check_number
from ..core.folded_masks import pixel_embedding
from ..core.fusion import PerPixelFusion, SemanticFusion
from ..core.per_pixel import pixel_cross_entropy
from ..heads.base import BandedHead, build_part, naming
from ..registry import MODELS
from ..seg.segmentor import check_test_cfg
from .hmsanet_head import pixel_classifier
from .layers import resize

Answer = tuple[dict[str, Tensor], Tensor, Sequence[Tensor]]
"""What the network says at one scale: see `ScaleAttention.answer`."""


def join_scales(outputs: Iterable[tuple[float, Tensor, Tensor]]) -> Tensor:
    """Maps of several scales as one map (B, C, H, W) at the size of scale 1, which is among them.

    From the largest on, each scale has the share of its own attention, and what was joined
    before has the rest; the attention of the largest is not used.

    Args:
        outputs: scale, maps (B, C, h, w) and attention (B, 1, h, w), from the largest scale to the
            smallest.
    """
    rest = iter(outputs)
    _, joint, _ = next(rest)
    for scale, maps, attention in rest:
        weighted = attention * maps
        if scale >= 1:
            joint = weighted + (1 - attention) * resize(joint, maps.shape[-2:])
        else:
            size = joint.shape[-2:]
            joint = resize(weighted, size) + (1 - resize(attention, size)) * joint
    return joint


@MODELS.register_module()
class ScaleAttention(EncoderDecoder):
    """mmseg's `EncoderDecoder` at several scales, whose logits a learned attention joins.

    Beside the classifier of pixels, a branch on the same features says how much a scale counts.
    Heads of mmseg are trained by their own `loss_decode` on joint logits: auxiliary heads, and
    the first heads of a cascade, on theirs, joined by the same attention. Everything is resized
    half-pixel centred.

    Heads of this package join semantic scores, of queries or of pixels. Queries have no joint
    targets: such a head is trained by its own loss at scale 1, and by `joint.loss_ce`, the cross
    entropy of the joint scores (those of queries as shares of their sum over the classes).

    Results are semantic ones. Views of test-time augmentation may differ in flips only; that is
    checked by `MaskFormerTTA`.

    Args:
        train_scales, test_scales: factors of the input's size, 1 among them.
        attention_channels: width of the branch.
        scale_loss: config of a loss of the main head's logits of each scale, which has a weight of
            its own (HMSANet: `RMILoss` without the bound, 0.05 on Cityscapes); None: none.
        parts: further arguments of `EncoderDecoder`; `decode_head` may be a cascade, a list.
    """

    decode_head: Any

    def __init__(
        self,
        *,
        train_scales: Sequence[float] = (0.5, 1),
        test_scales: Sequence[float] = (0.5, 1, 2),
        attention_channels: int = 256,
        scale_loss: dict | None = None,
        test_cfg: dict | None = None,
        **parts: Any,
    ) -> None:
        test_cfg = ConfigDict({"mode": "whole", **(test_cfg or {})})
        unknown = sorted(set(test_cfg) - {"mode", "crop_size", "stride"})
        if unknown:
            raise ValueError(f"ScaleAttention has semantic scores only: unknown test_cfg {unknown}")
        check_test_cfg(test_cfg)
        self.train_scales = read_scales("train_scales", train_scales, 2)
        self.test_scales = read_scales("test_scales", test_scales, 1)
        super().__init__(test_cfg=test_cfg, **parts)
        (*_, self.main), (*_, head) = zip(*self.heads("decode_head", "decode").items(), strict=True)
        check_number("attention_channels", attention_channels, 1, whole=True)
        channels, norm = pixel_channels(head), getattr(head, "norm_cfg", None)
        self.attention = pixel_classifier(channels, attention_channels, 1, norm)
        if scale_loss is not None and isinstance(head, BandedHead):
            raise ValueError(f"scale_loss is for heads of mmseg, not for {type(head).__name__}")
        self.scale_loss = scale_loss and build_part(scale_loss, "RMILoss")

    def _init_decode_head(self, decode_head: dict | list) -> None:
        *first, last = decode_head if isinstance(decode_head, list) else [decode_head]
        super()._init_decode_head(last)
        if first:
            self.decode_head = nn.ModuleList([*map(MODELS.build, first), self.decode_head])

    def heads(self, attribute: str, prefix: str) -> dict[str, Any]:
        """The heads of an attribute, by the prefix that mmseg gives to their losses."""
        head = getattr(self, attribute, None)
        if isinstance(head, nn.ModuleList):
            return {f"{prefix}_{index}": one for index, one in enumerate(head)}
        return {} if head is None else {prefix: head}

    def answer(self, inputs: Tensor, scale: float, auxiliary: bool = False) -> Answer:
        """The network at one scale, with or without its auxiliary heads.

        Returns:
            (B, C, H, W) logits or scores by the prefix of their head's losses, attention
            (B, 1, H, W) in [0, 1], both at the size of the scale, and the backbone's features.

        Raises:
            ValueError: nothing is left of the image at this scale.
            TypeError: a head that gives something else than one map.
        """
        size = [int(edge * scale) for edge in inputs.shape[-2:]]
        if min(size) < 1:
            raise ValueError(f"scale {scale:g} leaves nothing of {tuple(inputs.shape[-2:])} pixels")
        features = self.extract_feat(inputs if scale == 1 else resize(inputs, size))
        stages, maps = self.heads("decode_head", "decode"), {}
        with pixels_seen(stages[self.main]) as seen:
            for name, head in stages.items():
                if isinstance(head, BandedHead):
                    maps[name] = head.scores(features, size)
                else:
                    maps[name] = head(features, *list(maps.values())[-1:])
        extra = self.heads("auxiliary_head", "aux") if auxiliary else {}
        maps |= {name: head(features) for name, head in extra.items()}
        if not seen or not all(isinstance(one, Tensor) for one in maps.values()):
            kinds = [type(head).__name__ for head in (stages | extra).values()]
            raise TypeError(f"ScaleAttention needs heads that give one map of logits, not {kinds}")
        attention = resize(self.attention(seen[-1]).float().sigmoid(), size)
        return {key: resize(one.float(), size) for key, one in maps.items()}, attention, features

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Losses of a training batch."""
        answers = {scale: self.answer(inputs, scale, True) for scale in self.train_scales}
        heads = self.heads("decode_head", "decode") | self.heads("auxiliary_head", "aux")
        losses: dict[str, Tensor] = {}
        for name, head in heads.items():
            joint = join_scales((s, maps[name], share) for s, (maps, share, _) in answers.items())
            if isinstance(head, BandedHead):
                own = head.loss(answers[1][2], data_samples, self.train_cfg)
                losses["joint.loss_ce"] = joint_cross_entropy(head, joint, data_samples)
            else:
                own = head.loss_by_feat(joint, data_samples)
            losses |= add_prefix(own, name)
        if self.scale_loss:
            labels = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])
            skip, kind = heads[self.main].ignore_index, self.scale_loss.loss_name
            for s, (maps, *_) in answers.items():
                logits = resize(maps[self.main], labels.shape[-2:])
                losses[f"scale_{s:g}.{kind}"] = self.scale_loss(logits, labels, ignore_index=skip)
        return losses

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Joint maps (B, C, H, W) of a batch (or of one sliding window) at its own size."""
        with naming(batch_img_metas, ValueError):
            answers = ((scale, *self.answer(inputs, scale)) for scale in self.test_scales)
            return join_scales((scale, maps[self.main], share) for scale, maps, share, _ in answers)

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor:
        return self.encode_decode(inputs, [])

    def test_views(self, data: dict) -> list[SegDataSample]:
        """Results of test-time augmentation, the mean of the views' joint maps.

        Raises:
            ValueError: views of several sizes, which would be averaged twice.
        """
        batches = zip(data["inputs"], data["data_samples"], strict=True)
        views = [self.test_step(dict(inputs=one, data_samples=two)) for one, two in batches]
        for samples in zip(*views, strict=True):
            sizes = {tuple(sample.metainfo["img_shape"][:2]) for sample in samples}
            if len(sizes) > 1:
                raise ValueError(f"views of a ScaleAttention may differ in flips only, got {sizes}")
            maps = torch.stack([sample.seg_logits.data for sample in samples]).mean(0)
            samples[0].set_data({"seg_logits": PixelData(data=maps)})
            samples[0].set_data({"pred_sem_seg": PixelData(data=maps.argmax(0, keepdim=True))})
        return views[0]


def read_scales(name: str, scales: Sequence[float], least: int) -> list[float]:
    """The scales, largest first; ValueError unless they are different, positive and have 1."""
    given = list(scales) if isinstance(scales, (list, tuple)) else []
    right = all(type(scale) in (int, float) and 0 < scale < float("inf") for scale in given)
    if not right or len(set(given)) < max(least, len(given)) or 1 not in given:
        wanted = f"a list of {least} or more different positive numbers, 1 among them"
        raise ValueError(f"{name} must be {wanted}, got {scales!r}")
    return sorted(given, reverse=True)


def pixel_channels(head: Any) -> int:
    """Channels of the features that a head classifies pixels by; ValueError for one without."""
    if isinstance(getattr(head, "conv_seg", None), nn.Module) and head.out_channels > 1:
        return head.channels
    decoder: Any = getattr(getattr(head, "predictor", None), "pixel_decoder", None)
    kind, fusion = type(head), type(getattr(head, "fusion", None))
    if hasattr(decoder, "mask_features") and fusion in (SemanticFusion, PerPixelFusion):
        return decoder.mask_features.out_channels
    wanted = "a head with conv_seg for two or more classes, or SemanticFusion or PerPixelFusion"
    raise ValueError(f"ScaleAttention needs {wanted}, got {kind.__name__} with {fusion.__name__}")


@contextmanager
def pixels_seen(head: Any) -> Iterator[list[Tensor]]:
    """A list of the features (B, channels, h, w) that the head classifies in the block."""
    seen: list[Tensor] = []
    banded = isinstance(head, BandedHead)

    def keep(_: nn.Module, inputs: tuple, output: Any) -> None:
        seen.append(pixel_embedding(output[0]) if banded else inputs[0])

    handle = (head.predictor.pixel_decoder if banded else head.conv_seg).register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()


def joint_cross_entropy(head: BandedHead, joint: Tensor, samples: list[SegDataSample]) -> Tensor:
    """Mean cross entropy of joint scores (B, C, H, W) over the labelled pixels."""
    segments = head.segments.read(samples)
    classes = torch.stack([class_map(one, head.num_classes) for one in segments])
    if isinstance(head.fusion, SemanticFusion):
        joint = joint.clamp(min=1e-6).log()
    return pixel_cross_entropy(joint, classes).sum() / (classes < len(joint[0])).sum().clamp(min=1)
