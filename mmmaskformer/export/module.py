"""What is exported: a model from RGB images to class and mask logits, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.models import EncoderDecoder
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.folded_masks import pixel_embedding


class ExportedMaskFormer(nn.Module):
    """A segmentor's network with the normalisation before it.

    Args:
        model: a segmentor with a `MaskFormerHead`.
        scores: whether the score maps at the input's size are an output, too.
    """

    def __init__(self, model: EncoderDecoder, *, scores: bool = False) -> None:
        super().__init__()
        self.model = model
        self.scores = scores
        mean, std = normalization(model.data_preprocessor)
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])
        self.reverse = not takes_rgb(model.data_preprocessor)

    @property
    def outputs(self) -> list[str]:
        """The names of what `forward` returns."""
        return ["class_logits", "mask_logits"] + ["scores"] * self.scores

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """RGB images (B, 3, H, W) float32 in [0, 255] to logits.

        Returns:
            class logits (B, Q, C + 1), mask logits (B, Q, h, w) and, with `scores`, score maps
            (B, C, H, W).
        """
        x = (image - self.mean) / self.std
        head = self.model.decode_head
        output = head.factors(self.model.extract_feat(x.flip(1) if self.reverse else x))
        class_logits = output.class_logits[-1]
        embedding = pixel_embedding(output.pixels)
        mask_logits = torch.einsum("bqd,bdhw->bqhw", output.mask_embed[-1], embedding)
        if not self.scores:
            return class_logits, mask_logits
        full = F.interpolate(mask_logits, size=image.shape[-2:], mode="bilinear")
        prob = class_logits.softmax(-1)[..., :-1]
        return class_logits, mask_logits, torch.einsum("bqc,bqhw->bchw", prob, full.sigmoid())


def takes_rgb(preprocessor: Any) -> bool:
    """Whether the network takes RGB; our pipelines load BGR."""
    return bool(preprocessor.channel_conversion)


def normalization(preprocessor: Any) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of the pixels, in the order red, green, blue."""
    if not preprocessor._enable_normalize:
        return [0.0] * 3, [1.0] * 3
    values = [part.flatten().tolist() for part in (preprocessor.mean, preprocessor.std)]
    mean, std = (part if len(part) == 3 else part * 3 for part in values)
    return (mean, std) if takes_rgb(preprocessor) else (mean[::-1], std[::-1])


@torch.no_grad()
def eager_outputs(model: EncoderDecoder, images: Sequence[Tensor], scores: bool) -> list[Tensor]:
    """What the model itself makes of RGB images (3, H, W) uint8, all of one size.

    It goes another way than `ExportedMaskFormer`: through the model's own preprocessor and head
    and, for score maps, its bands of rows.
    """
    data = model.data_preprocessor({"inputs": [image.flip(0) for image in images]}, False)
    features = model.extract_feat(data["inputs"])
    outputs = list(model.decode_head(features))
    if scores:
        outputs.append(model.decode_head.scores(features, data["inputs"].shape[-2:]))
    return outputs
