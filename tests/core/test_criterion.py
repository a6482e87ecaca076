"""The criterion against loops over layers, images and pairs."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from mmmaskformer import core
from tests.core.test_matcher import cost_by_loops


def problem():
    output = core.FactoredOutput(
        torch.randn(3, 3, 6, 9), torch.randn(3, 3, 6, 4), torch.randn(3, 4, 6, 7)
    )
    targets = [
        core.SegmentTargets(
            torch.randint(0, 8, (segments,)), torch.randint(-1, segments, (24, 28)).int()
        )
        for segments in (2, 0, 8)
    ]
    return output, targets


def losses_by_loops(output, targets):
    """Paper, Section 3.3; every image of the batch has its own number of segments."""
    count = max(sum(t.num_segments for t in targets), 1)
    expected = {}
    for layer in range(3):
        classes = torch.full((3, 6), 8)
        mask_loss = dice_loss = 0.0
        for image, target in enumerate(targets):
            if not target.num_segments:
                continue
            rows, columns = linear_sum_assignment(cost_by_loops(output, target, layer, image))
            full = F.interpolate(
                core.layer_mask_logits(output, layer)[image][None], (24, 28), mode="bilinear"
            )[0].flatten(1)
            masks = target.masks().flatten(1).float()
            for query, segment in zip(rows, columns, strict=True):
                classes[image, query] = target.labels[segment]
                pair = full[query : query + 1], masks[segment : segment + 1]
                mask_loss += core.FocalLoss()(*pair).sum()
                dice_loss += core.DiceLoss()(*pair).sum()
        weight = torch.ones(9)
        weight[8] = 0.1
        nll = -output.class_logits[layer].log_softmax(-1).gather(2, classes[..., None])[..., 0]
        prefix = "" if layer == 2 else f"d{layer}."
        expected[prefix + "loss_cls"] = (nll * weight[classes]).sum() / weight[classes].sum()
        expected[prefix + "loss_mask"] = 20 * mask_loss / count
        expected[prefix + "loss_dice"] = dice_loss / count
    return expected


def test_losses_equal_loops():
    output, targets = problem()
    losses, expected = core.MaskFormerCriterion()(output, targets), losses_by_loops(output, targets)
    assert set(losses) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_does_not_reach_into_the_criterion(dtype):
    output, targets = problem()
    expected = core.MaskFormerCriterion()(output, targets)
    with torch.autocast("cpu", dtype):
        losses = core.MaskFormerCriterion()(output, targets)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-6, atol=1e-7)


def test_weights_of_the_losses():
    output, targets = problem()
    plain = core.MaskFormerCriterion()(output, targets)
    heavy = core.MaskFormerCriterion(
        loss_cls=core.ClassLoss(3.0), loss_mask=core.FocalLoss(40.0), loss_dice=core.DiceLoss(5.0)
    )(output, targets)
    for name, factor in (("loss_cls", 3), ("d0.loss_mask", 2), ("d1.loss_dice", 5)):
        torch.testing.assert_close(heavy[name], factor * plain[name])


@pytest.mark.parametrize("channels", [4, 64])
def test_few_masks_skip_the_pixel_embedding_and_nothing_changes(channels):
    """With 30 masks of 3 images: 64 channels are more than the masks of an image, 4 are not."""
    _, targets = problem()
    leaves = [
        torch.randn(s, requires_grad=True)
        for s in ((3, 3, 6, 9), (3, 3, 6, channels), (3, 5, 6, 7), (channels, 5, 3, 3), (channels,))
    ]
    wide = []  # channels of the embeddings that backward has to go through

    def run(dense):
        pixels = core.PixelFeatures(*leaves[2:])
        output = core.FactoredOutput(*leaves[:2], pixels)
        if dense:
            output = core.FactoredOutput(*leaves[:2], core.pixel_embedding(output.pixels))
        losses = core.MaskFormerCriterion()(output, targets)
        return losses, torch.autograd.grad(sum(losses.values()), leaves)

    conv2d = F.conv2d

    def watched(*args, **kwargs):
        result = conv2d(*args, **kwargs)
        if result.requires_grad:
            result.register_hook(lambda grad: wide.append(grad.shape[1]))
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "conv2d", watched)
        losses, grads = run(dense=False)
    assert wide == ([4] if channels == 4 else [])
    expected, expected_grads = run(dense=True)
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-5, atol=1e-6)
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        scale = expected_grad.abs().max().item()
        torch.testing.assert_close(grad, expected_grad, rtol=1e-4, atol=1e-5 * scale)


def test_a_batch_without_segments_has_gradients_of_zero():
    """DDP waits for the gradient of every parameter."""
    shapes = (3, 2, 6, 9), (3, 2, 6, 64), (2, 5, 6, 7), (64, 5, 3, 3), (64,)
    leaves = [torch.randn(shape, requires_grad=True) for shape in shapes]
    empty = core.SegmentTargets(torch.zeros(0, dtype=torch.int64), torch.full((24, 28), -1))
    output = core.FactoredOutput(*leaves[:2], core.PixelFeatures(*leaves[2:]))
    losses = core.MaskFormerCriterion()(output, [empty, empty])
    assert all(losses[name] == 0 for name in losses if not name.endswith("cls"))  # not 0 / 0
    class_grad, *grads = torch.autograd.grad(sum(losses.values()), leaves)
    assert class_grad.any()
    assert not any(grad.any() for grad in grads)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_precisions_that_differ(dtype):
    """On a GPU, autocast leaves group norm, so the pixel features, in float32."""
    _, targets = problem()
    pixels = core.PixelFeatures(torch.randn(3, 5, 6, 7), torch.randn(64, 5, 3, 3), torch.randn(64))
    half = [torch.randn(3, 3, 6, 9).to(dtype), torch.randn(3, 3, 6, 64).to(dtype)]
    losses = core.MaskFormerCriterion()(core.FactoredOutput(*half, pixels), targets)
    expected = core.MaskFormerCriterion()(
        core.FactoredOutput(*(part.float() for part in half), core.pixel_embedding(pixels)), targets
    )
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-5, atol=1e-6)


def test_a_class_loss_of_another_kind_sees_one_layer_at_a_time():
    class Smoothed(core.ClassLoss):
        def forward(self, logits, target):
            assert logits.dim() == 2
            return super().forward(logits, target) + 1

    output, targets = problem()[:2]
    plain, other = core.MaskFormerCriterion(), core.MaskFormerCriterion(loss_cls=Smoothed())
    plain, other = plain(output, targets), other(output, targets)
    for name in (name for name in plain if name.endswith("loss_cls")):
        torch.testing.assert_close(other[name], plain[name] + 1)
