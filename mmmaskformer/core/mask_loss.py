"""The mask losses at the ground truth's resolution, exactly, in chunks of a few masks (paper,
Section 3.3): nothing of full size outlives its chunk, backward included.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .losses import DiceLoss, FocalLoss

TEMPORARIES = 10
"""Full-size float32 arrays that are alive at once while a chunk is worked on."""
CPU_CACHE = 20 << 20
"""Bytes of last-level cache that a chunk may fill: on a CPU, chunks that leave it are slow."""


@functools.lru_cache(maxsize=8)
def chunk_elements(device: torch.device) -> int:
    """Elements of a full-size chunk whose temporaries fill the cache of a CPU, or 1 % of the
    memory of a GPU, which keeps it busy and is little beside a training step's activations."""
    memory = CPU_CACHE
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory // 100
    return memory // (4 * TEMPORARIES)


def chunks(rows: int, elements_per_row: int, device: torch.device) -> Iterator[slice]:
    """Slices over `rows`, each of about `chunk_elements` elements and at least one row."""
    step = max(1, chunk_elements(device) // max(1, elements_per_row))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def focal_and_dice(
    logits: Tensor, target: Tensor, focal: FocalLoss, dice: DiceLoss, work: Tensor | None = None
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Focal and dice losses of n masks and their gradients, without autograd.

    With s = -1 on the mask and 1 off it, z = s logits is the logit of the wrong answer and
    e = sigmoid(z) the error. Focal is the mean of a e^gamma softplus(z), whose derivative by z is
    a e^gamma (gamma (1 - e) softplus(z) + e). Dice is 1 - A / T with A = 2 |p t| + smooth and
    T = |p| + |t| + smooth; p is e off the mask and 1 - e on it.

    Args:
        logits: (n, P) float32.
        target: (n, P) bool.
        work: (6, n, P) float32 buffers, instead of new memory.

    Returns:
        two values (n,) and two gradients (n, P), which lie in `work`.
    """
    sign, wrong, error, right, focus, slope = (None,) * 6 if work is None else work
    sign = torch.mul(target, logits.new_full((), -2.0), out=sign).add_(1)
    wrong = torch.mul(logits, sign, out=wrong)
    error = torch.sigmoid(wrong, out=error)
    right = torch.sub(error.new_ones(()), error, out=right)
    cross_entropy = F.softplus(wrong)
    if focal.gamma == 2:
        focus = torch.square(error, out=focus)
    else:
        focus = torch.pow(error, focal.gamma, out=focus)
    if focal.alpha >= 0:
        slope = torch.mul(sign, 0.5 - focal.alpha, out=slope).add_(0.5)
        focus *= slope
    slope = torch.mul(focus, cross_entropy, out=slope)
    focal_value = slope.mean(1)
    slope = torch.addcmul(error, cross_entropy, right, value=focal.gamma, out=slope)
    focal_grad = slope.mul_(focus).mul_(sign).div_(logits.shape[1])

    dice_grad = torch.mul(error, right, out=focus)
    area = target.sum(1)
    missed = torch.mul(error, target, out=right).sum(1)
    overlap = 2 * (area - missed) + dice.smooth
    total = error.sum(1) - missed + (area - missed) + area + dice.smooth
    torch.mul(target, (-2 / total)[:, None], out=right).add_((overlap / total.square())[:, None])
    return (focal_value, 1 - overlap / total), (focal_grad, dice_grad.mul_(right))


@functools.lru_cache(maxsize=1)
def _compiled_focal_and_dice() -> Callable:
    return torch.compile(focal_and_dice, dynamic=True)


def _values_and_grads(losses, logits: Tensor, target: Tensor) -> tuple:
    """Of each loss the values (n,) and the gradient (n, P)."""
    values, grads = [], []
    for loss in losses:
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            value = loss(leaf, target.float())
            grads.append(torch.autograd.grad(value.sum(), leaf)[0])
        values.append(value.detach())
    return values, grads


class _ChunkedMaskLoss(torch.autograd.Function):
    """Forward computes the gradient by the stride-4 logits, too: per mask, the losses are
    linear in what backward receives, so nothing of full size has to survive until then."""

    @staticmethod
    def forward(ctx, logits, segment_maps, image, segment, losses, compiled):
        count, (height, width) = len(logits), segment_maps.shape[-2:]
        need_grad = ctx.needs_input_grad[0]
        values = logits.new_zeros((len(losses), count), dtype=torch.float32)
        grads = logits.new_zeros(
            (len(losses), *logits.shape) if need_grad else (0,), dtype=torch.float32
        )
        pair, work = _is_focal_and_dice(losses), None
        for rows in chunks(count, height * width, logits.device):
            full = upsample(logits[rows].float(), (height, width)).flatten(1)
            target = (segment_maps[image[rows]] == segment[rows, None, None]).flatten(1)
            if not need_grad:
                for index, loss in enumerate(losses):
                    values[index, rows] = loss(full, target.float())
                continue
            if pair and compiled:
                results = _compiled_focal_and_dice()(full, target, *losses)
            elif pair:
                work = full.new_empty(6, *full.shape) if work is None else work
                results = focal_and_dice(full, target, *losses, work[:, : len(full)])
            else:
                results = _values_and_grads(losses, full, target)
            for index, (value, grad) in enumerate(zip(*results)):
                values[index, rows] = value
                grad = grad.view(-1, height, width)
                grads[index, rows] = upsample_adjoint(grad, logits.shape[1:])
        ctx.save_for_backward(grads)
        ctx.logits_dtype = logits.dtype
        return values

    @staticmethod
    def backward(ctx, grad_values):
        (grads,) = ctx.saved_tensors
        grad = torch.einsum("kn,knhw->nhw", grad_values, grads)
        return grad.to(ctx.logits_dtype), None, None, None, None, None


def upsample(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resize of (N, h, w) to (N, H, W), half-pixel centres."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=False)[
        :, 0
    ]


def upsample_adjoint(grad: Tensor, size: Sequence[int]) -> Tensor:
    """The adjoint of `upsample`: gradient (N, H, W) to (N, h, w)."""
    height, width = grad.shape[-2:]
    if (height, width) == tuple(size):
        return grad
    if (height, width) == (4 * size[0], 4 * size[1]):
        return _fold_rows_by_4(grad) @ _fold_matrix(width, grad.device)
    return torch.ops.aten.upsample_bilinear2d_backward(
        grad[None], [height, width], [1, len(grad), *size], False, None, None
    )[0]


def _fold_rows_by_4(grad: Tensor) -> Tensor:
    """Adjoint of bilinear upsampling of rows by 4, the usual case: (N, 4 h, W) to (N, h, W).

    Output rows 4 i .. 4 i + 3 lie at i - 3/8, i - 1/8, i + 1/8 and i + 3/8 of the source; at the
    ends both neighbours are the same row.
    """
    row0, row1, row2, row3 = grad.unflatten(1, (-1, 4)).unbind(2)
    folded = (row0 + row3).mul_(0.625).add_(row1, alpha=0.875).add_(row2, alpha=0.875)
    above = (row0 * 0.375).add_(row1, alpha=0.125)
    below = (row3 * 0.375).add_(row2, alpha=0.125)
    folded[:, :-1] += above[:, 1:]
    folded[:, 0] += above[:, 0]
    folded[:, 1:] += below[:, :-1]
    folded[:, -1] += below[:, -1]
    return folded


@functools.lru_cache(maxsize=8)
def _fold_matrix(width: int, device: torch.device) -> Tensor:
    """`_fold_rows_by_4` for columns, as a matrix (W, w)."""
    return _fold_rows_by_4(torch.eye(width, device=device)[None])[0].T.contiguous()


def _is_focal_and_dice(losses: Sequence[nn.Module]) -> bool:
    return [type(loss) for loss in losses] == [FocalLoss, DiceLoss]


def fits_triton(logits: Tensor, segment_maps: Tensor, losses: Sequence[nn.Module]) -> bool:
    """Whether `triton_mask_loss` knows this problem: on a GPU, `FocalLoss` and `DiceLoss`, maps
    that are an integer times as large as the grid. MMMASKFORMER_TRITON=0 in the environment says
    no to all."""
    height, width = logits.shape[1:]
    scale = segment_maps.shape[1] // height
    return (
        logits.is_cuda
        and _is_focal_and_dice(losses)
        and segment_maps.shape[1:] == (scale * height, scale * width)
        and os.environ.get("MMMASKFORMER_TRITON") != "0"
    )


@functools.lru_cache(maxsize=8)
def _triton_mask_loss(device: torch.device) -> Callable | None:
    """`triton_mask_loss`, once it has given the values and gradients of the slower way on
    `device`; None where it is missing, does not run, or differs."""
    try:
        from .triton_mask_loss import triton_mask_loss

        ways = triton_mask_loss, eager_mask_loss
        results = zip(*(_small_problem(device, way) for way in ways))
        for found, expected in results:
            scale = expected.abs().max().item()
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * scale)
    except ImportError:
        return None
    except Exception as error:  # no C compiler, no Python headers, an old GPU, ...
        warnings.warn(
            f"Triton does not run on {device}, so mask losses take the slower way, which "
            f"MMMASKFORMER_TRITON=0 chooses without this warning: {error}"
        )
        return None
    return triton_mask_loss


def _small_problem(device: torch.device, way: Callable) -> tuple[Tensor, Tensor]:
    """Values and gradient of a few masks."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(5, 24, 20, generator=generator)
    maps = torch.randint(-1, 3, (2, 96, 80), generator=generator, dtype=torch.int32)
    image, segment = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 2, 0, 1, 2])
    leaf = logits.to(device).requires_grad_()
    with torch.enable_grad():
        inputs = (tensor.to(device) for tensor in (maps, image, segment))
        values = way(leaf, *inputs, (FocalLoss(), DiceLoss()))
        (grad,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), grad


def chunked_mask_loss(
    logits: Tensor,
    segment_maps: Tensor,
    image: Tensor,
    segment: Tensor,
    losses: Sequence[nn.Module],
    *,
    compiled: bool = False,
) -> Tensor:
    """Mask losses of N matched masks at the ground truth's resolution, exactly.

    The logits are upsampled bilinearly, a few masks at a time; neither the upsampled logits nor
    binary masks outlive their chunk, and backward needs only (K, N, h, w). Computed in float32
    whatever the logits are. On a GPU with triton, two kernels do without chunks: `fits_triton`.

    Args:
        logits: (N, h, w).
        segment_maps: (B, H, W), as in `SegmentTargets`.
        image, segment: (N,) int64, the image and the segment of it that each mask should be.
        losses: K modules that map (n, P) logits and float targets to (n,) values; the pair
            `FocalLoss`, `DiceLoss` is faster than others.
        compiled: whether to `torch.compile` that pair, where triton is not used.

    Returns:
        (K, N) unweighted losses, differentiable by `logits`.
    """
    if fits_triton(logits, segment_maps, losses):
        fused = _triton_mask_loss(logits.device)
        if fused is not None:
            return fused(logits, segment_maps, image, segment, losses)
    return eager_mask_loss(logits, segment_maps, image, segment, losses, compiled)


def eager_mask_loss(
    logits: Tensor,
    segment_maps: Tensor,
    image: Tensor,
    segment: Tensor,
    losses: Sequence[nn.Module],
    compiled: bool = False,
) -> Tensor:
    """`chunked_mask_loss` without triton."""
    return _ChunkedMaskLoss.apply(logits, segment_maps, image, segment, tuple(losses), compiled)
