"""GPU kernels of the mask losses, and whether they are used."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..losses import DiceLoss, FocalLoss, is_focal_and_dice

KERNELS = ("auto", "eager", "triton")


def check_kernel(kernel: str) -> str:
    """The setting itself; ValueError unless it is one of `KERNELS`."""
    if kernel not in KERNELS:
        raise ValueError(f"mask_loss_kernel must be one of {', '.join(KERNELS)}, got {kernel!r}")
    return kernel


def choose(
    kernel: str, logits: Tensor, segment_maps: Tensor, losses: Sequence[nn.Module]
) -> Callable | None:
    """`triton_mask_loss` if it shall compute these losses; None: the eager way.

    The kernels know `FocalLoss` and `DiceLoss` on a GPU, and maps that are no smaller than the
    grid. They are used once they have given the values and gradients of the eager way on the
    device. "triton" fails where "auto" would say no, but for the size of the maps, which may
    change from batch to batch.

    Args:
        logits, segment_maps, losses: as in `chunked_mask_loss`.

    Raises:
        ValueError: "triton" for other losses or a device that is no GPU.
        RuntimeError: "triton" where triton is missing, does not run or gives other numbers.
    """
    if check_kernel(kernel) == "eager":
        return None
    if not knows(logits, losses):
        if kernel == "triton":
            names = ", ".join(type(loss).__name__ for loss in losses)
            raise ValueError(
                "mask_loss_kernel 'triton' computes FocalLoss and DiceLoss on a GPU, not "
                f"{names} on {logits.device}; set mask_loss_kernel='auto'"
            )
        return None
    if not fits(segment_maps.shape[1:], logits.shape[1:]):
        return None
    fused, why_not = _checked_triton(logits.device)
    if fused is None and kernel == "triton":
        raise RuntimeError(f"mask_loss_kernel 'triton' can not be used: {why_not}")
    return fused


def knows(logits: Tensor, losses: Sequence[nn.Module]) -> bool:
    """Whether the kernels are written for this device and these losses."""
    return logits.is_cuda and is_focal_and_dice(losses)


def fits(size: Sequence[int], grid: Sequence[int]) -> bool:
    """Whether `size` is no smaller than the `grid`, and the kernels' numbers stay in 32 bits."""
    axes = list(zip(size, grid, strict=True))
    largest = max(size[0] * size[1], *(4 * pixels * cells for pixels, cells in axes))
    return all(pixels >= cells for pixels, cells in axes) and largest < 1 << 31


@functools.lru_cache(maxsize=8)
def _checked_triton(device: torch.device) -> tuple[Callable | None, str]:
    """`triton_mask_loss`, if it gives the values and gradients of the eager way on `device`; else
    None and the reason."""
    from ..mask_loss import eager_mask_loss

    try:
        from .triton_mask_loss import triton_mask_loss

        ways = triton_mask_loss, eager_mask_loss
        results = zip(*(_small_problem(device, way) for way in ways), strict=True)
        for found, expected in results:
            scale = expected.abs().max().item()
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4 * scale)
    except ModuleNotFoundError as error:
        return None, str(error)
    except torch.cuda.OutOfMemoryError:  # says nothing about the kernels: asked again next time
        raise
    except Exception as error:  # no C compiler, no Python headers, an old GPU, ...
        warnings.warn(
            f"Triton does not run on {device}, so mask losses are computed the slower way, which "
            f"mask_loss_kernel='eager' chooses without this warning: {error}"
        )
        return None, str(error)
    return triton_mask_loss, ""


def _small_problem(device: torch.device, way: Callable) -> tuple[Tensor, Tensor]:
    """Values and gradient of a few masks, whose grid does not divide the image."""
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(5, 24, 20, generator=generator)
    maps = torch.randint(-1, 3, (2, 94, 79), generator=generator, dtype=torch.int32)
    image, segment = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 2, 0, 1, 2])
    autocast = torch.autocast(device.type, enabled=False)
    with autocast, torch.inference_mode(False), torch.enable_grad():
        leaf = logits.to(device).requires_grad_()
        inputs = (tensor.to(device) for tensor in (maps, image, segment))
        values = way(leaf, *inputs, (FocalLoss(), DiceLoss()))
        (grad,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), grad
