"""The structures that everything else passes around, and the legend of letters.

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

MAP_TYPES = (torch.int8, torch.int16, torch.int32, torch.int64)
"""Of a `SegmentTargets.segment_map`: those that can say `NO_SEGMENT`."""


@dataclass(frozen=True)
class PixelFeatures:
    """The pixel embedding (B, D, h, w) as features and the convolution that maps them to it.

    `folded_masks` says what is computed of it and when.

    Attributes:
        features: (B, K, h, w); where there is no `weight` they are the embedding, and K = D.
        weight: (D, K, k, k) of the last convolution, which keeps the grid; None: no convolution.
        bias: (D,) of that convolution.
    """

    features: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, D, h, w)."""
        batch, channels, *grid = self.features.shape
        return (batch, channels if self.weight is None else len(self.weight), *grid)


@dataclass(frozen=True)
class FactoredOutput:
    """What the network says about a batch, as small factors (paper, Section 3.2).

    The mask logits of query q are the inner products of its mask embedding with the pixel
    embedding; `folded_masks` forms them where somebody asks for them.

    Attributes:
        class_logits: (L, B, Q, C + 1).
        mask_embed: (L, B, Q, D).
        pixels: of shape (B, D, h, w); a tensor is taken as the pixel embedding itself.
    """

    class_logits: Tensor
    mask_embed: Tensor
    pixels: PixelFeatures

    def __post_init__(self) -> None:
        if isinstance(self.pixels, Tensor):
            object.__setattr__(self, "pixels", PixelFeatures(self.pixels))
        cls, emb, pix = self.class_logits.shape, self.mask_embed.shape, self.pixels.shape
        if not (
            len(cls) == len(emb) == len(pix) == 4
            and cls[:3] == emb[:3]
            and pix[:2] == (emb[1], emb[3])
        ):
            raise ValueError(
                "expected class_logits (L, B, Q, C + 1), mask_embed (L, B, Q, D) and pixels "
                f"(B, D, h, w), got {tuple(cls)}, {tuple(emb)} and {tuple(pix)}"
            )
        if cls[2] < 1 or cls[3] < 2:
            raise ValueError(
                "an output needs at least one query, and one class beside 'no object'; got "
                f"class_logits {tuple(cls)}"
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

    @property
    def device(self) -> torch.device:
        return self.class_logits.device


@dataclass(frozen=True)
class SegmentTargets:
    """Ground truth of one image: disjoint segments, as one map instead of G masks.

    Attributes:
        labels: (G,) int64, class of each segment in [0, C).
        segment_map: (H, W) signed integers, the segment that owns a pixel, or `NO_SEGMENT`. A
            segment may own no pixel at all (cropped away); it still counts and is matched.
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
        if self.labels.dtype != torch.int64 or self.segment_map.dtype not in MAP_TYPES:
            raise TypeError(
                f"{self.name}: expected labels of int64 and a segment_map of signed integers, got "
                f"{self.labels.dtype} and {self.segment_map.dtype}"
            )

    @property
    def num_segments(self) -> int:
        return self.labels.shape[0]

    def to(self, device: torch.device) -> SegmentTargets:
        """The same on another device, without waiting for it."""
        labels, segment_map = (to_device(part, device) for part in (self.labels, self.segment_map))
        return SegmentTargets(labels, segment_map, self.name)

    def masks(self) -> Tensor:
        """One boolean mask per segment, (G, H, W): large; for tests and pictures."""
        index = torch.arange(self.num_segments, device=self.segment_map.device)
        return self.segment_map[None] == index[:, None, None]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device, without waiting for it: a GPU waits for a copy of memory that is
    not pinned."""
    if torch.device(device).type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
