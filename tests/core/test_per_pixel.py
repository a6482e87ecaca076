import pytest
import torch
from torch.nn import functional as F

from mmmaskformer import core
from mmmaskformer.core.per_pixel import upsample_logits


def features(batch=2):
    return [torch.randn(batch, c, 16 // s, 12 // s) for c, s in ((8, 1), (16, 2), (24, 4))]


def pixel_decoder():
    return core.FPNPixelDecoder([8, 16, 24], channels=16, mask_channels=12, norm_groups=4)


def plus(**kwargs):
    decoder = core.TransformerDecoder(
        16, num_layers=3, num_heads=2, feedforward_channels=32, dropout=0.0
    )
    kwargs = {"num_classes": 5, "mask_channels": 12, **kwargs}
    return core.PerPixelBaselinePlus(pixel_decoder(), decoder, **kwargs)


def test_baseline_classifies_the_pixel_embedding():
    model = core.PerPixelBaseline(pixel_decoder(), num_classes=5, mask_channels=12)
    maps = features()
    embed = core.pixel_embedding(model.pixel_decoder(maps)[0])
    weight, bias = model.classifier.weight[:, :, 0, 0], model.classifier.bias
    expected = torch.einsum("cd,bdhw->bchw", weight, embed) + bias[:, None, None]
    torch.testing.assert_close(model(maps), expected[None])


def test_classifier_has_the_msra_fill():
    model = core.PerPixelBaseline(core.FPNPixelDecoder([8, 16]), num_classes=500)
    assert model.classifier.weight.std().item() == pytest.approx((2 / 500) ** 0.5, rel=0.02)
    assert not model.classifier.bias.any()


def test_plus_has_one_query_per_class():
    """Its logits are the mask logits of a MaskFormer with the same weights."""
    model = plus().eval()
    maskformer = core.MaskFormerPredictor(
        pixel_decoder(), model.transformer_decoder, num_classes=4, num_queries=5, mask_channels=12
    ).eval()
    maskformer.load_state_dict(model.state_dict(), strict=False)
    maps = features()
    expected = maskformer(maps, all_layers=True)
    masks = torch.stack([core.layer_mask_logits(expected, layer) for layer in range(3)])
    torch.testing.assert_close(model(maps, all_layers=True), masks)
    torch.testing.assert_close(model(maps), masks[-1:])
    assert len(model.train()(maps)) == 3
    assert len(plus(deep_supervision=False).train()(maps)) == 1


def test_loss_is_the_mean_over_valid_pixels():
    logits, labels = torch.randn(2, 2, 5, 4, 3), torch.randint(0, 5, (2, 16, 12))
    labels[0, 3:9] = 5  # ignored
    losses = core.PerPixelCriterion(loss_weight=2.0)(logits, labels)
    assert sorted(losses) == ["d0.loss_ce", "loss_ce"]
    for name, coarse in (("d0.loss_ce", logits[0]), ("loss_ce", logits[1])):
        full = F.interpolate(coarse, (16, 12), mode="bilinear")
        total, count = 0.0, 0
        for image in range(2):
            for y in range(16):
                for x in range(12):
                    label = labels[image, y, x].item()
                    if label != 5:
                        total -= full[image, :, y, x].log_softmax(0)[label].item()
                        count += 1
        assert losses[name].item() == pytest.approx(2 * total / count, rel=1e-5)


def test_nothing_but_ignored_pixels_gives_zero_not_nan():
    logits = torch.randn(1, 1, 5, 4, 4, requires_grad=True)
    loss = core.PerPixelCriterion()(logits, torch.full((1, 16, 16), 5))["loss_ce"]
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_every_parameter_gets_a_finite_gradient():
    labels = torch.randint(0, 5, (2, 64, 48))
    for model in (
        plus().train(),
        core.PerPixelBaseline(pixel_decoder(), num_classes=5, mask_channels=12),
    ):
        sum(core.PerPixelCriterion()(model(features()), labels).values()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_upsampling_is_by_exactly_four():
    logits = torch.randn(1, 2, 3, 4)
    expected = F.interpolate(logits, (12, 16), mode="bilinear")[..., :10, :13]
    torch.testing.assert_close(upsample_logits(logits, (10, 13)), expected)
    with pytest.raises(ValueError, match=r"\(3, 4\) do not belong to an input of \(10, 17\)"):
        upsample_logits(logits, (10, 17))


def test_one_class_is_refused():
    for build in (plus, lambda **kwargs: core.PerPixelBaseline(pixel_decoder(), **kwargs)):
        with pytest.raises(ValueError, match="num_classes must be at least 2, got 1"):
            build(num_classes=1)
