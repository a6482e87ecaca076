import math

import pytest
import torch
from torch import nn

from mmmaskformer import core
from mmmaskformer.core.position import SinePositionalEncoding
from tests.core.test_pixel_decoder import encoder_pixel_decoder, pyramid


def small_predictor(**kwargs):
    return core.MaskFormerPredictor(
        core.FPNPixelDecoder([8, 16, 24], channels=16, mask_channels=12, norm_groups=4),
        core.TransformerDecoder(16, num_layers=3, num_heads=2, feedforward_channels=32),
        **{"num_classes": 5, "num_queries": 7, "mask_channels": 12, **kwargs},
    )


def test_memory_projection():
    """A 1x1 convolution where the numbers of channels differ, or where asked for."""
    predictor = small_predictor().eval()
    assert predictor.memory_proj.weight.shape == (16, 24, 1, 1)
    assert predictor.memory_proj.weight.abs().max().item() <= math.sqrt(3 / 24)
    assert not predictor.memory_proj.bias.any()
    fitting = core.FPNPixelDecoder([8, 16], channels=16, mask_channels=12, norm_groups=4)
    kwargs = dict(num_classes=5, mask_channels=12)
    decoder = core.TransformerDecoder(16, num_heads=2)
    plain = core.MaskFormerPredictor(fitting, decoder, **kwargs)
    assert isinstance(plain.memory_proj, nn.Identity)
    forced = core.MaskFormerPredictor(fitting, decoder, project_memory=True, **kwargs)
    assert isinstance(forced.memory_proj, nn.Conv2d)

    features = pyramid()
    output = predictor(features)
    pixel_embed, memory = predictor.pixel_decoder(features)
    memory = predictor.memory_proj(memory)
    decoded = predictor.transformer_decoder(
        predictor.query_embed.weight.expand(2, -1, -1),
        memory.flatten(2).transpose(1, 2),
        SinePositionalEncoding(16)(memory).flatten(2).transpose(1, 2),
    )[-1:]
    torch.testing.assert_close(output.class_logits, predictor.class_embed(decoded))
    torch.testing.assert_close(output.mask_embed, predictor.mask_embed(decoded))
    torch.testing.assert_close(
        core.pixel_embedding(output.pixels), core.pixel_embedding(pixel_embed)
    )


def test_training_sees_every_layer_and_testing_the_last():
    predictor = small_predictor()
    for layer in predictor.transformer_decoder.layers:
        layer.dropout.p = layer.self_attn.dropout = layer.cross_attn.dropout = 0.0
    features = pyramid()
    every = predictor.train()(features)
    last = predictor.eval()(features)
    assert every.class_logits.shape == (3, 2, 7, 6)
    assert last.class_logits.shape == (1, 2, 7, 6)
    torch.testing.assert_close(
        core.layer_mask_logits(every, 2), core.layer_mask_logits(last, 0), rtol=1e-4, atol=1e-4
    )
    assert small_predictor(deep_supervision=False).train()(features).num_layers == 1


def test_batch_equals_single_images():
    predictor = small_predictor().eval()
    features = pyramid()
    batch = predictor(features)
    for i in range(2):
        single = predictor([f[i : i + 1] for f in features])
        masks = core.layer_mask_logits(batch)[i : i + 1]
        torch.testing.assert_close(masks, core.layer_mask_logits(single))
        torch.testing.assert_close(batch.class_logits[:, i : i + 1], single.class_logits)


def random_targets(kinds):
    targets = []
    for kind in kinds:
        segments = 3 if kind == "some" else 0
        segment_map = torch.randint(-1, segments, (64, 48)) if segments else -torch.ones(64, 48)
        targets.append(core.SegmentTargets(torch.arange(segments), segment_map.int()))
    return targets


@pytest.mark.parametrize("kinds", [("some", "some"), ("none", "some"), ("none", "none")])
def test_every_parameter_gets_a_finite_gradient(kinds):
    predictor = small_predictor().train()
    losses = core.MaskFormerCriterion()(predictor(pyramid()), random_targets(kinds))
    assert len(losses) == 9
    sum(losses.values()).backward()
    for name, parameter in predictor.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    if kinds == ("none", "none"):
        assert losses["loss_mask"].item() == losses["loss_dice"].item() == 0
        assert predictor.pixel_decoder.mask_features.weight.grad.abs().max() == 0
    else:
        assert predictor.pixel_decoder.mask_features.weight.grad.abs().max() > 0


def test_order_of_images_does_not_matter():
    predictor = small_predictor().eval()
    output, targets = predictor(pyramid(), all_layers=True), random_targets(("some", "none"))
    swapped = core.FactoredOutput(
        output.class_logits.flip(1),
        output.mask_embed.flip(1),
        core.pixel_embedding(output.pixels).flip(0),
    )
    criterion = core.MaskFormerCriterion()
    a, b = criterion(output, targets), criterion(swapped, targets[::-1])
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: core.FPNPixelDecoder([8]), "must be a list of 2 or more whole numbers"),
        (lambda: core.TransformerDecoder(8, num_layers=0), "num_layers"),
        (lambda: encoder_pixel_decoder(num_layers=0), "num_layers"),
        (lambda: encoder_pixel_decoder()(pyramid()), r"expected 2 feature levels of \[.*got 3 of"),
        (lambda: SinePositionalEncoding(6), "multiple of 4"),
        (lambda: small_predictor(num_queries=0), "num_queries"),
        (lambda: small_predictor(num_classes=0), "num_classes must be at least 1, got 0"),
        (lambda: small_predictor()(pyramid()[:2]), r"expected 3 feature levels of \[.*got 2 of"),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("encoder", [False, True])
def test_activation_checkpointing_changes_memory_only(encoder):
    """Same losses and gradients, dropout included, from fewer saved activations."""

    def train(with_cp):
        torch.manual_seed(1)
        kind = core.TransformerEncoderPixelDecoder if encoder else core.FPNPixelDecoder
        options = dict(num_layers=2, num_heads=2, feedforward_channels=32) if encoder else {}
        predictor = core.MaskFormerPredictor(
            kind(
                [8, 16, 24],
                channels=16,
                mask_channels=12,
                norm_groups=4,
                with_cp=with_cp,
                **options,
            ),
            core.TransformerDecoder(
                16, num_layers=3, num_heads=2, feedforward_channels=32, with_cp=with_cp
            ),
            num_classes=5,
            mask_channels=12,
        )
        features = [x.requires_grad_() for x in pyramid()]
        saved = []
        pack = torch.autograd.graph.saved_tensors_hooks(
            lambda x: saved.append(x.numel()) or x, lambda x: x
        )
        with pack:
            output = predictor(features)
            total = (
                output.class_logits.square().sum() + core.layer_mask_logits(output).square().sum()
            )
        leaves = [*features, *predictor.parameters()]
        return total.detach(), torch.autograd.grad(total, leaves), sum(saved)

    total, grads, saved = train(True)
    expected, expected_grads, more = train(False)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(grads, expected_grads)
    assert saved < 0.6 * more
