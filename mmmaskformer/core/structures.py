"""The two structures that everything else passes around, and the legend of letters.

Shapes in this package use one set of letters:

    B  images in the batch            H, W  image (or ground-truth) height and width
    L  decoder layers with outputs    h, w  mask grid, stride 4
    Q  queries                        C     classes, without "no object"
    D  mask embedding channels        G     ground-truth segments of one image
    N  matched (query, segment) pairs of all layers and images

"No object" is class index C, the last one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NO_SEGMENT = -1
"""Value of `SegmentTargets.segment_map` for pixels that belong to no segment."""


@dataclass(frozen=True)
class FactoredOutput:
    """What the network says about a batch, as small factors (paper, Section 3.2).

    The mask logits of query q are the inner products of its mask embedding with the pixel
    embedding; they exist at full size only where somebody asks for them.

    Attributes:
        class_logits: (L, B, Q, C + 1).
        mask_embed: (L, B, Q, D).
        pixel_embed: (B, D, h, w).
    """

    class_logits: Tensor
    mask_embed: Tensor
    pixel_embed: Tensor

    def __post_init__(self) -> None:
        cls, emb, pix = self.class_logits.shape, self.mask_embed.shape, self.pixel_embed.shape
        if not (
            len(cls) == len(emb) == len(pix) == 4
            and cls[:3] == emb[:3]
            and pix[:2] == (emb[1], emb[3])
        ):
            raise ValueError(
                "expected class_logits (L, B, Q, C + 1), mask_embed (L, B, Q, D) and pixel_embed "
                f"(B, D, h, w), got {tuple(cls)}, {tuple(emb)} and {tuple(pix)}"
            )

    @property
    def num_layers(self) -> int:
        return self.class_logits.shape[0]

    @property
    def batch_size(self) -> int:
        return self.class_logits.shape[1]

    @property
    def num_classes(self) -> int:
        return self.class_logits.shape[3] - 1

    def mask_logits(self, layer: int = -1) -> Tensor:
        """Mask logits of one decoder layer, (B, Q, h, w)."""
        return torch.einsum("bqd,bdhw->bqhw", self.mask_embed[layer], self.pixel_embed)

    def image(self, index: int) -> FactoredOutput:
        """The factors of one image, batch dimension kept."""
        one = slice(index, index + 1)
        return FactoredOutput(
            self.class_logits[:, one], self.mask_embed[:, one], self.pixel_embed[one]
        )


@dataclass(frozen=True)
class SegmentTargets:
    """Ground truth of one image: disjoint segments, as one map instead of G masks.

    Attributes:
        labels: (G,) int64, class of each segment in [0, C).
        segment_map: (H, W) integers, the segment that owns a pixel, or `NO_SEGMENT`. A segment
            may own no pixel at all (cropped away); it still counts and is matched.
        name: what error messages call the image, usually its file.
    """

    labels: Tensor
    segment_map: Tensor
    name: str = "image"

    def __post_init__(self) -> None:
        if self.labels.ndim != 1 or self.segment_map.ndim != 2:
            raise ValueError(
                f"{self.name}: expected labels (G,) and segment_map (H, W), got "
                f"{tuple(self.labels.shape)} and {tuple(self.segment_map.shape)}"
            )

    @property
    def num_segments(self) -> int:
        return self.labels.shape[0]

    def masks(self) -> Tensor:
        """One boolean mask per segment, (G, H, W): large; for tests and pictures."""
        index = torch.arange(self.num_segments, device=self.segment_map.device)
        return self.segment_map[None] == index[:, None, None]
