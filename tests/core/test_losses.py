import math

import pytest
import torch
from torch.nn import functional as F

from mmmaskformer.core import mask_loss, tuning
from mmmaskformer.core.losses import ClassLoss, DiceLoss, FocalLoss
from mmmaskformer.core.mask_loss import chunked_mask_loss, focal_and_dice


def test_focal_loss_by_hand():
    logits, target = torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([[1.0, 0.0]])
    # p = 1/2 and 3/4: 0.25 (1/2)^2 ln 2 and 0.75 (3/4)^2 ln 4.
    expected = (0.25 * 0.25 * math.log(2) + 0.75 * 0.5625 * math.log(4)) / 2
    assert FocalLoss()(logits, target).item() == pytest.approx(expected, rel=1e-6)


def test_dice_loss_by_hand():
    logits, target = torch.zeros(1, 4), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    assert DiceLoss()(logits, target).item() == pytest.approx(1 - (2 * 1 + 1) / (2 + 2 + 1))


def test_class_loss_is_a_weighted_mean():
    logits, target = torch.randn(5, 4), torch.tensor([0, 3, 3, 1, 3])
    nll = -logits.log_softmax(1)[range(5), target]
    weight = torch.tensor([1, 0.1, 0.1, 1, 0.1])
    torch.testing.assert_close(ClassLoss()(logits, target), (nll * weight).sum() / weight.sum())


@pytest.mark.parametrize(
    "focal",
    [FocalLoss(), FocalLoss(alpha=0.0), FocalLoss(alpha=-1.0, gamma=1.5), FocalLoss(gamma=0.0)],
)
@pytest.mark.parametrize("smooth", [1.0, 2.0])
@pytest.mark.parametrize("buffers", [True, False])
def test_written_out_gradients_equal_autograd(focal, smooth, buffers):
    losses = focal, DiceLoss(smooth=smooth)
    logits = (5 * torch.randn(6, 50, dtype=torch.float64)).requires_grad_()
    target = torch.rand(6, 50) < 0.4
    target[0], target[1] = False, True
    work = torch.full((6, 6, 50), torch.nan, dtype=torch.float64)
    outside = (~target).double()
    values, grads = focal_and_dice(logits.detach(), outside, *losses, work if buffers else None)
    assert buffers == all(grad.data_ptr() in [x.data_ptr() for x in work] for grad in grads)
    for loss, value, grad in zip(losses, values, grads, strict=True):
        expected = loss(logits, target.double())
        torch.testing.assert_close(value, expected.detach())
        (expected_grad,) = torch.autograd.grad(expected.sum(), logits)
        torch.testing.assert_close(grad, expected_grad, rtol=1e-9, atol=1e-12)


def plain_mask_losses(logits, segment_maps, image, segment, parts):
    """The obvious way: every mask at full size, autograd through everything."""
    full = F.interpolate(
        logits[:, None].float(), segment_maps.shape[-2:], mode="bilinear", align_corners=False
    )
    target = (segment_maps[image] == segment[:, None, None]).float().flatten(1)
    return torch.stack([part(full.flatten(1), target) for part in parts])


def problem(grid, size, count=11, dtype=torch.float32):
    logits = (6 * torch.randn(count, *grid)).to(dtype).requires_grad_()
    segment_maps = torch.randint(-1, 4, (3, *size), dtype=torch.int32)
    image, segment = torch.randint(0, 3, (count,)), torch.randint(0, 4, (count,))
    return logits, segment_maps, image, segment


class Squared(torch.nn.Module):
    """Somebody's own loss."""

    def forward(self, logits, target):
        return (logits.sigmoid() - target).square().mean(1)


@pytest.mark.parametrize(
    ("grid", "size"), [((12, 9), (48, 36)), ((7, 10), (29, 37)), ((5, 6), (5, 6))]
)
@pytest.mark.parametrize("chunk", [1, 5000, 1 << 20])
@pytest.mark.parametrize(
    "parts", [(FocalLoss(), DiceLoss()), (DiceLoss(), FocalLoss(gamma=1.0), Squared())]
)
def test_chunked_loss_equals_plain_autograd(grid, size, chunk, parts, monkeypatch):
    monkeypatch.setattr(tuning, "chunk_elements", lambda *_: chunk)
    inputs = problem(grid, size)
    upstream = torch.rand(len(parts), 11)
    results = []
    for function in (chunked_mask_loss, plain_mask_losses):
        values = function(*inputs, parts)
        (grad,) = torch.autograd.grad((values * upstream).sum(), inputs[0])
        results.append((values.detach(), grad))
    (values, grad), (expected, expected_grad) = results
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-7)
    scale = expected_grad.abs().max().item()
    torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-5 * scale)


def test_no_matched_mask_gives_zero_gradient():
    logits, maps, image, segment = problem((4, 4), (16, 16), count=0)
    values = chunked_mask_loss(logits, maps, image, segment, (FocalLoss(), DiceLoss()))
    assert values.shape == (2, 0)
    values.sum().backward()
    assert logits.grad.shape == (0, 4, 4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_finite_in_half_precision_and_under_autocast(dtype):
    inputs = problem((8, 8), (32, 32), dtype=dtype)
    with torch.no_grad():
        inputs[0][0] = 60000.0 if dtype is torch.float16 else 1e30
        inputs[0][1] = -inputs[0][0]
    with torch.autocast("cpu", dtype):
        values = chunked_mask_loss(*inputs, (FocalLoss(), DiceLoss()))
    values.mean().backward()
    assert values.isfinite().all()
    assert inputs[0].grad.isfinite().all()
    assert inputs[0].grad.dtype == dtype


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [(32, 32), (20, 27)])
def test_half_precision_logits_are_upsampled_in_float32(dtype, size):
    logits, *where = problem((8, 8), size, dtype=dtype)
    parts = FocalLoss(), DiceLoss()
    expected = plain_mask_losses(logits, *where, parts)
    with torch.autocast("cpu", dtype):
        values = chunked_mask_loss(logits, *where, parts)
    torch.testing.assert_close(values, expected, rtol=1e-5, atol=1e-7)


def test_backward_under_autocast_is_float32():
    logits, *where = problem((8, 8), (32, 32))
    values = chunked_mask_loss(logits, *where, (FocalLoss(), DiceLoss())).sum()
    (expected,) = torch.autograd.grad(values, logits, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = torch.autograd.grad(values, logits)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_second_derivative_is_refused():
    inputs = problem((8, 8), (32, 32))
    values = chunked_mask_loss(*inputs, (FocalLoss(), DiceLoss()))
    upstream = torch.rand(2, 11, requires_grad=True)
    (grad,) = torch.autograd.grad((values * upstream).sum(), inputs[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_without_gradient_none_is_computed(monkeypatch):
    inputs = problem((8, 8), (32, 32))
    parts = FocalLoss(), DiceLoss()
    expected = chunked_mask_loss(*inputs, parts).detach()
    monkeypatch.setattr(mask_loss, "focal_and_dice", None)
    with torch.no_grad():
        torch.testing.assert_close(chunked_mask_loss(*inputs, parts), expected)


@pytest.mark.parametrize("inside", [1, 20])
def test_a_small_mask_on_a_large_map_keeps_its_digits(inside):
    logits = torch.randn(2, 1 << 20) - 2
    outside = torch.ones(2, 1 << 20)
    outside[0, 5 : 5 + inside] = outside[1, -inside:] = 0
    parts = FocalLoss(), DiceLoss()
    _, grads = focal_and_dice(logits, outside, *parts)
    leaf = logits.double().requires_grad_()
    for grad, part in zip(grads, parts, strict=True):
        (expected,) = torch.autograd.grad(part(leaf, 1 - outside.double()).sum(), leaf)
        for where in (outside == 1, outside == 0):
            torch.testing.assert_close(grad[where], expected[where].float(), rtol=1e-4, atol=0)


def test_segments_of_many_bits():
    logits, maps, image, segment = problem((8, 8), (32, 32))
    parts = FocalLoss(), DiceLoss()
    shift = 59990
    values = chunked_mask_loss(logits, maps + shift, image, segment + shift, parts)
    torch.testing.assert_close(values, chunked_mask_loss(logits, maps, image, segment, parts))


def test_a_chunk_fills_the_cache_of_a_cpu():
    # Two masks of 512x512, with ten float32 arrays each.
    cpu, losses = torch.device("cpu"), tuning.EAGER_LOSSES
    assert tuning.chunk_elements(cpu, losses) == 2 * 512 * 512
    slices = [(s.start, s.stop) for s in tuning.chunks(5, 512 * 512, cpu, losses)]
    assert slices == [(0, 2), (2, 4), (4, 5)]


@pytest.mark.parametrize(
    ("work", "most"), [(tuning.EAGER_LOSSES, 256 << 20), (tuning.MATCHING_COSTS, 64 << 20)]
)
def test_chunks_fill_what_a_gpu_grants_them(work, most):
    # R50 saves 640 MB for 2 images of 512x512.
    masks, mask = 60, 4 * work.arrays * 512 * 512
    slices = list(tuning.chunks(masks, 512 * 512, torch.device("cuda:0"), work))
    sizes = [mask * (rows.stop - rows.start) for rows in slices]
    assert all(most - mask < size <= most for size in sizes[:-1])
    assert 0 < sizes[-1] <= most
    assert sum(sizes) == masks * mask


def test_negative_gamma_is_refused():
    with pytest.raises(ValueError, match="gamma"):
        FocalLoss(gamma=-1)


def weighted_mean(logits, target, weights):
    """Sum of weight times -log softmax over the sum of weights, query by query."""
    terms = [-weights[t] * row.log_softmax(0)[t] for row, t in zip(logits, target, strict=True)]
    return sum(terms) / sum(weights[t] for t in target)


def test_class_weights_of_0():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(7, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([3, 0, 3, 2, 1, 3, 2])
    for options in (dict(no_object_weight=0), dict(class_weight=[0, 2, 1], no_object_weight=0)):
        loss = ClassLoss(**options)
        weights = torch.tensor([*options.get("class_weight", [1, 1, 1]), 0.0])
        torch.testing.assert_close(loss(logits, target), weighted_mean(logits, target, weights))
        nothing = loss(logits, torch.full((7,), 3))  # the original divides 0 by 0
        (gradient,) = torch.autograd.grad(nothing, logits)
        assert nothing.item() == 0
        assert gradient.abs().max() == 0
