"""The kernels against autograd in float64. `test_triton_mask_loss` runs this file in a process of
its own, since triton's interpreter has to be chosen before triton is first imported. By hand:
`TRITON_INTERPRET=1 pytest tests/core/triton_kernels.py`, and without the variable on a GPU."""

import os

import pytest
import torch
from torch.nn import functional as F

from mmmaskformer.core.kernels import triton_mask_loss
from mmmaskformer.core.losses import DiceLoss, FocalLoss
from mmmaskformer.core.mask_loss import chunked_mask_loss, eager_mask_loss

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
PAIR = FocalLoss(), DiceLoss()


def problem(scale, grid, count, dtype=torch.float32, cut=(0, 0)):
    """Maps are `scale` times as large as the grid, less `cut`. Image 0 is void, image 1 one
    segment, image 2 has four; segment 4 is nowhere."""
    logits = (6 * torch.randn(count, *grid)).to(dtype)
    size = [scale * cells - less for cells, less in zip(grid, cut, strict=True)]
    maps = torch.randint(-1, 4, (3, *size), dtype=torch.int32)
    maps[0], maps[1] = -1, 0
    image, segment = torch.arange(count) % 3, torch.arange(count) // 2 % 5
    return [tensor.to(DEVICE) for tensor in (logits, maps, image, segment)]


def plain(logits, maps, image, segment, parts):
    """Every mask at full size, in float64, autograd through everything."""
    full = F.interpolate(
        logits[:, None].double(), maps.shape[1:], mode="bilinear", align_corners=False
    )
    target = (maps[image] == segment[:, None, None]).double().flatten(1)
    return torch.stack([part(full.flatten(1), target) for part in parts])


def value_and_grad(function, inputs, parts):
    logits = inputs[0].detach().requires_grad_()
    values = function(logits, *inputs[1:], parts)
    upstream = torch.linspace(50, 1000, values.numel(), device=DEVICE).view(values.shape)
    (grad,) = torch.autograd.grad((values * upstream).sum(), logits)
    return values.detach().double(), grad


def check(inputs, parts=PAIR, rtol=5e-6):
    """`rtol` is that of the gradients; of what is left of a sum by its largest element."""
    values, grad = value_and_grad(triton_mask_loss.triton_mask_loss, inputs, parts)
    expected, expected_grad = value_and_grad(plain, inputs, parts)
    torch.testing.assert_close(values, expected, rtol=5e-6, atol=1e-30)
    assert grad.dtype == inputs[0].dtype
    # Mask by mask, since their gradients differ by orders of magnitude.
    for one, expected_one in zip(grad.double(), expected_grad.double(), strict=True):
        atol = rtol * expected_one.abs().max().item()
        torch.testing.assert_close(one, expected_one, rtol=rtol, atol=atol)


@pytest.mark.parametrize(
    ("scale", "grid", "count", "block"),
    [
        (1, (7, 10), 11, 32),
        (2, (7, 10), 11, 64),
        (3, (4, 5), 2, 16),
        (4, (7, 10), 3, 64),
        (4, (1, 6), 2, 4),
        (4, (1, 1), 1, 1),
        (5, (3, 3), 2, 16),
        (8, (4, 3), 2, 8),
    ],
)
def test_values_and_gradients(scale, grid, count, block, monkeypatch):
    monkeypatch.setattr(triton_mask_loss, "TRITON_BLOCK", block)
    check(problem(scale, grid, count))


@pytest.mark.parametrize(
    ("scale", "grid", "cut"),
    [
        (4, (7, 10), (3, 1)),
        (4, (9, 6), (0, 2)),
        (4, (2, 5), (3, 3)),
        (4, (1, 9), (3, 2)),
        (3, (6, 5), (8, 3)),
        (6, (5, 4), (2, 11)),
    ],
)
def test_images_that_are_no_multiple_of_the_grid(scale, grid, cut, monkeypatch):
    monkeypatch.setattr(triton_mask_loss, "TRITON_BLOCK", 64)
    check(problem(scale, grid, 3, cut=cut))


@pytest.mark.parametrize(
    "focal",
    [
        FocalLoss(alpha=-1.0),
        FocalLoss(gamma=0.0),
        FocalLoss(alpha=0.6, gamma=1.5),
        FocalLoss(alpha=0.0, gamma=1.0),
    ],
)
@pytest.mark.parametrize("smooth", [1.0, 0.5])
def test_parameters_of_the_losses(focal, smooth):
    check(problem(2, (7, 10), 5), (focal, DiceLoss(smooth=smooth)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    check(problem(4, (7, 5), 4, dtype), rtol=torch.finfo(dtype).eps)


@pytest.mark.parametrize("focal", [FocalLoss(), FocalLoss(gamma=0.0), FocalLoss(gamma=1.5)])
@pytest.mark.parametrize(("scale", "rtol"), [(1, 5e-6), (2, 1e-4)])  # float32 sums of 6e4 and -6e4
def test_large_logits(focal, scale, rtol):
    inputs = problem(scale, (6, 5), 6)
    inputs[0][:3] = torch.linspace(-6e4, 6e4, 30, device=DEVICE).view(6, 5)
    inputs[0][3:, ::2] *= 1e4
    check(inputs, (focal, DiceLoss()), rtol)


@pytest.mark.parametrize("size", [1e-3, 1e-8])
def test_losses_of_masks_that_are_almost_right(size):
    inputs = problem(1, (6, 5), 1)
    inputs[2][:] = 2
    on = inputs[1][2] == inputs[3][0]
    inputs[0][0] = torch.where(on, 1.0, -1.0) * -torch.log(torch.tensor(size))
    check(inputs, (FocalLoss(gamma=0.0), DiceLoss()))


def test_layouts_and_integers_of_any_kind(monkeypatch):
    monkeypatch.setattr(triton_mask_loss, "TRITON_BLOCK", 32)
    logits, maps, image, segment = problem(2, (6, 6), 4)
    check([logits.mT.contiguous().mT, maps.mT.contiguous().mT, image, segment])
    check([logits[:, :, ::2], maps.long()[:, :, ::2], image.int(), segment.int()])


def test_equals_the_chunked_way():
    inputs = problem(4, (7, 10), 4)
    results = [
        value_and_grad(function, inputs, PAIR)
        for function in (triton_mask_loss.triton_mask_loss, eager_mask_loss)
    ]
    for result, expected in zip(*results, strict=True):
        scale = expected.abs().max().item()
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5 * scale)


def test_no_mask():
    values, grad = value_and_grad(triton_mask_loss.triton_mask_loss, problem(4, (7, 10), 0), PAIR)
    assert values.shape == (2, 0)
    assert grad.shape == (0, 7, 10)


def test_same_bits_every_time(monkeypatch):
    monkeypatch.setattr(triton_mask_loss, "TRITON_BLOCK", 16)
    inputs = problem(2, (7, 10), 5)
    first, second = (
        value_and_grad(triton_mask_loss.triton_mask_loss, inputs, PAIR) for _ in range(2)
    )
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_backward_keeps_its_inputs_and_two_numbers_per_mask():
    inputs = problem(4, (7, 10), 3)
    inputs[0].requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        values = triton_mask_loss.triton_mask_loss(*inputs, PAIR)
    assert [tensor.data_ptr() for tensor in kept[:4]] == [x.data_ptr() for x in inputs]
    assert [tensor.shape for tensor in kept[4:]] == [(3,), (3,)]
    values[0].sum().backward()  # one of the losses, expanded upstream
    expected = inputs[0].detach().requires_grad_()
    plain(expected, *inputs[1:], PAIR)[0].sum().backward()
    torch.testing.assert_close(inputs[0].grad, expected.grad, rtol=1e-5, atol=1e-9)


@pytest.mark.skipif(INTERPRETED, reason="needs a GPU")
def test_chunked_mask_loss_uses_the_kernels():
    inputs = problem(4, (7, 10), 5)
    fused = value_and_grad(chunked_mask_loss, inputs, PAIR)
    kernels = value_and_grad(triton_mask_loss.triton_mask_loss, inputs, PAIR)
    assert all(torch.equal(*pair) for pair in zip(fused, kernels, strict=True))
    for result, expected in zip(value_and_grad(eager_mask_loss, inputs, PAIR), fused, strict=True):
        scale = expected.abs().max().item()
        torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5 * scale)
