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
from torch.nn import functional as F
from torch.nn.grad import conv2d_input, conv2d_weight

NO_SEGMENT = -1
"""Value of `SegmentTargets.segment_map` for pixels that belong to no segment."""


@dataclass(frozen=True)
class PixelEmbedding:
    """The pixel embedding (B, D, h, w), itself or as the convolution that would make it.

    Mask logits are linear in it: a few of them need a convolution to as many channels, with the
    products of mask embeddings and kernels, and never its D channels.

    Attributes:
        features: (B, K, h, w), the embedding itself (K = D) where there is no `weight`.
        weight, bias: (D, K, k, k) and (D,) of the last convolution, which keeps the size.
        made: (B, D, h, w), the embedding, where somebody needed it already: mask logits then have
            their values from it, and only their gradient from the convolution.
    """

    features: Tensor
    weight: Tensor | None = None
    bias: Tensor | None = None
    made: Tensor | None = None

    @classmethod
    def of(cls, pixels: Tensor | PixelEmbedding) -> PixelEmbedding:
        """What a pixel decoder returned; a tensor is the embedding itself."""
        return cls(pixels) if isinstance(pixels, Tensor) else pixels

    @property
    def shape(self) -> torch.Size:
        """(B, D, h, w)."""
        batch, channels, *grid = self.features.shape
        return torch.Size([batch, channels if self.weight is None else len(self.weight), *grid])

    def dense(self) -> PixelEmbedding:
        """The embedding itself."""
        if self.weight is None:
            return self
        if self.made is not None:
            return PixelEmbedding(self.made)
        padding = self.weight.shape[-1] // 2
        return PixelEmbedding(F.conv2d(self.features, self.weight, self.bias, padding=padding))

    def image(self, index: int) -> PixelEmbedding:
        """That of one image, batch dimension kept."""
        one = slice(index, index + 1)
        made = None if self.made is None else self.made[one]
        return PixelEmbedding(self.features[one], self.weight, self.bias, made)

    def mask_logits(self, image: int, mask_embed: Tensor) -> Tensor:
        """Mask logits (N, h, w) of mask embeddings (N, D) on one image."""
        features = self.features[image]
        if self.weight is None:
            return torch.einsum("nd,dhw->nhw", mask_embed, features)
        if not len(mask_embed):
            return features.new_zeros(0, *features.shape[1:])
        weight = torch.einsum("nd,dkij->nkij", mask_embed, self.weight)
        bias = None if self.bias is None else mask_embed @ self.bias
        if self.made is None:
            return F.conv2d(features[None], weight, bias, padding=weight.shape[-1] // 2)[0]
        with torch.no_grad():
            values = torch.einsum("nd,dhw->nhw", mask_embed, self.made[image])
        return _KnownConv2d.apply(features[None], weight, bias, values[None])[0]


class _KnownConv2d(torch.autograd.Function):
    """`F.conv2d` that keeps the size, with its values at hand."""

    @staticmethod
    def forward(ctx, features, weight, bias, values):
        ctx.save_for_backward(features, weight)
        return values

    @staticmethod
    def backward(ctx, grad):
        features, weight = ctx.saved_tensors
        padding = weight.shape[-1] // 2
        return (
            conv2d_input(features.shape, weight, grad, padding=padding),
            conv2d_weight(features, weight.shape, grad, padding=padding),
            grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None,
            None,
        )


@dataclass(frozen=True)
class FactoredOutput:
    """What the network says about a batch, as small factors (paper, Section 3.2).

    The mask logits of query q are the inner products of its mask embedding with the pixel
    embedding; they exist at full size only where somebody asks for them.

    Attributes:
        class_logits: (L, B, Q, C + 1).
        mask_embed: (L, B, Q, D).
        pixels: of shape (B, D, h, w); a tensor is taken, too.
    """

    class_logits: Tensor
    mask_embed: Tensor
    pixels: PixelEmbedding

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixels", PixelEmbedding.of(self.pixels))
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
    def grid(self) -> tuple[int, int]:
        """h, w."""
        return tuple(self.pixels.shape[-2:])

    @property
    def device(self) -> torch.device:
        return self.class_logits.device

    @property
    def pixel_embed(self) -> Tensor:
        """The pixel embedding (B, D, h, w); computed anew each time unless `dense`."""
        return self.pixels.dense().features

    def dense(self) -> FactoredOutput:
        """The same with the pixel embedding itself."""
        return FactoredOutput(self.class_logits, self.mask_embed, self.pixels.dense())

    def mask_logits(self, layer: int = -1) -> Tensor:
        """Mask logits of one decoder layer, (B, Q, h, w)."""
        embed = self.mask_embed[layer]
        # A convolution to Q channels, unless that to D is smaller.
        pixels = self.pixels if embed.shape[1] < embed.shape[2] else self.pixels.dense()
        return torch.stack([pixels.mask_logits(i, rows) for i, rows in enumerate(embed)])

    def image(self, index: int) -> FactoredOutput:
        """The factors of one image, batch dimension kept."""
        one = slice(index, index + 1)
        return FactoredOutput(
            self.class_logits[:, one], self.mask_embed[:, one], self.pixels.image(index)
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
