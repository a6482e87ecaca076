import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmmaskformer import core
from mmmaskformer.core.position import SinePositionalEncoding


def test_sine_encoding_equals_its_formula():
    encoding = SinePositionalEncoding(16)(torch.zeros(2, 1, 5, 3))
    assert encoding.shape == (1, 16, 5, 3)
    for y in range(5):
        for x in range(3):
            for axis, (position, last) in enumerate(((y + 1, 5), (x + 1, 3))):
                for i in range(8):
                    angle = position / (last + 1e-6) * 2 * math.pi / 10000 ** (2 * (i // 2) / 8)
                    expected = math.sin(angle) if i % 2 == 0 else math.cos(angle)
                    assert encoding[0, 8 * axis + i, y, x].item() == pytest.approx(
                        expected, abs=1e-5
                    )


def test_decoder_layer_equals_torch_without_positions():
    decoder = core.TransformerDecoder(16, num_layers=1, num_heads=4, feedforward_channels=32)
    theirs = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, batch_first=True).eval()
    ours = decoder.layers[0].eval()
    pairs = {
        "self_attn": "self_attn",
        "cross_attn": "multihead_attn",
        "linear1": "linear1",
        "linear2": "linear2",
        "self_attn_norm": "norm1",
        "cross_attn_norm": "norm2",
        "ffn_norm": "norm3",
    }
    for a, b in pairs.items():
        getattr(theirs, b).load_state_dict(getattr(ours, a).state_dict())
    x, memory = torch.randn(2, 5, 16), torch.randn(2, 12, 16)
    torch.testing.assert_close(
        ours(x, torch.zeros(2, 5, 16), memory, memory), theirs(x, memory), rtol=1e-4, atol=1e-5
    )


def test_positions_enter_queries_and_keys_but_not_values():
    layer = core.TransformerDecoder(8, num_layers=1, num_heads=2).layers[0].eval()
    x, pos = torch.randn(1, 3, 8), torch.randn(1, 3, 8)
    memory, key = torch.randn(1, 6, 8), torch.randn(1, 6, 8)
    after_self = layer.self_attn_norm(x + layer.self_attn(x + pos, x + pos, x)[0])
    cross = layer.cross_attn(after_self + pos, key, memory)[0]
    y = layer.cross_attn_norm(after_self + cross)
    expected = layer.ffn_norm(y + layer.linear2(layer.linear1(y).relu()))
    torch.testing.assert_close(layer(x, pos, memory, key), expected, rtol=1e-4, atol=1e-5)


def test_decoder_without_self_attention_treats_queries_alone():
    decoder = core.TransformerDecoder(8, num_layers=2, num_heads=2, self_attention=False).eval()
    assert not any("self_attn" in name for name, _ in decoder.named_parameters())
    queries, memory = torch.randn(1, 4, 8), torch.randn(1, 6, 8)
    together = decoder(queries, memory, torch.zeros(1, 6, 8))
    alone = decoder(queries[:, 2:3], memory, torch.zeros(1, 6, 8))
    assert together.shape == (2, 1, 4, 8)
    torch.testing.assert_close(together[:, :, 2:3], alone)


def test_dropout_is_where_detr_has_it():
    """With everything dropped, only the residual path and the norms are left."""
    layer = core.TransformerDecoder(8, num_layers=1, num_heads=2, dropout=1.0).layers[0].train()
    for module in layer.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.bias)
    x, memory = torch.randn(1, 3, 8), torch.randn(1, 6, 8)
    expected = layer.ffn_norm(layer.cross_attn_norm(layer.self_attn_norm(x)))
    torch.testing.assert_close(layer(x, x, memory, memory), expected)


def test_decoder_adds_positions_to_memory_and_starts_from_zero():
    decoder = core.TransformerDecoder(8, num_layers=2, num_heads=2).eval()
    nn.init.normal_(decoder.norm.weight)
    queries, memory, pos = (torch.randn(1, n, 8) for n in (3, 6, 6))
    x, expected = torch.zeros(1, 3, 8), []
    for layer in decoder.layers:
        x = layer(x, queries, memory, memory + pos)
        expected.append(decoder.norm(x))
    torch.testing.assert_close(decoder(queries, memory, pos), torch.stack(expected))


def test_decoder_matrices_are_xavier_uniform():
    decoder = core.TransformerDecoder(64, num_layers=2, num_heads=4, feedforward_channels=512)
    matrices = {n: p for n, p in decoder.named_parameters() if p.ndim > 1}
    assert len(matrices) == 2 * 6
    for name, matrix in matrices.items():
        bound = math.sqrt(6 / sum(matrix.shape))
        assert matrix.abs().max().item() == pytest.approx(bound, rel=0.02), name
        assert matrix.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03), name


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


def pyramid(batch=2):
    return [torch.randn(batch, c, 16 // s, 12 // s) for c, s in ((8, 1), (16, 2), (24, 4))]


def test_pixel_decoder_equals_its_definition():
    decoder = core.FPNPixelDecoder([8, 16], channels=16, mask_channels=12, norm_groups=4)
    for norm in decoder.modules():
        if isinstance(norm, nn.GroupNorm):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    fine, coarse = torch.randn(1, 8, 6, 8), torch.randn(1, 16, 3, 4)
    lateral, (out_fine, out_coarse) = decoder.lateral_convs[0], decoder.output_convs

    def norm(x, layer):
        return F.group_norm(x, 4, layer.norm.weight, layer.norm.bias)

    top = norm(F.conv2d(coarse, out_coarse.conv.weight, padding=1), out_coarse).relu()
    up = top.repeat_interleave(2, -1).repeat_interleave(2, -2)
    x = norm(F.conv2d(fine, lateral.conv.weight), lateral) + up
    x = norm(F.conv2d(x, out_fine.conv.weight, padding=1), out_fine).relu()
    x = F.conv2d(x, decoder.mask_features.weight, decoder.mask_features.bias, padding=1)
    pixel_embed, memory = decoder([fine, coarse])
    torch.testing.assert_close(core.pixel_embedding(pixel_embed), x, rtol=1e-4, atol=1e-5)
    assert memory is coarse


def encoder_pixel_decoder(**kwargs):
    return core.TransformerEncoderPixelDecoder(
        [8, 24],
        **{
            "channels": 16,
            "mask_channels": 12,
            "norm_groups": 4,
            "num_layers": 2,
            "num_heads": 2,
            "feedforward_channels": 32,
            **kwargs,
        },
    )


def test_encoder_equals_torch_with_positions_on_queries_and_keys():
    decoder = encoder_pixel_decoder(num_layers=1).eval()
    layer = decoder.encoder_layers[0]
    theirs = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True).eval()
    pairs = {
        "self_attn": "self_attn",
        "linear1": "linear1",
        "linear2": "linear2",
        "self_attn_norm": "norm1",
        "ffn_norm": "norm2",
    }
    for a, b in pairs.items():
        getattr(theirs, b).load_state_dict(getattr(layer, a).state_dict())
    x, pos = torch.randn(2, 12, 16), torch.randn(1, 12, 16)
    torch.testing.assert_close(layer(x, torch.zeros_like(pos)), theirs(x), rtol=1e-4, atol=1e-5)
    attended = layer.self_attn_norm(x + layer.self_attn(x + pos, x + pos, x)[0])
    expected = layer.ffn_norm(attended + layer.linear2(layer.linear1(attended).relu()))
    torch.testing.assert_close(layer(x, pos), expected, rtol=1e-4, atol=1e-5)


def test_dropout_of_the_encoder_is_where_detr_has_it():
    layer = encoder_pixel_decoder(dropout=1.0).encoder_layers[0].train()
    for module in layer.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.bias)
    x = torch.randn(1, 6, 16)
    torch.testing.assert_close(layer(x, x), layer.ffn_norm(layer.self_attn_norm(x)))


def test_dropout_is_a_tenth_as_in_the_paper():
    encoder = core.TransformerEncoderPixelDecoder([16, 32], channels=64, num_layers=1)
    for layer in (encoder.encoder_layers[0], core.TransformerDecoder(num_layers=1).layers[0]):
        assert layer.dropout.p == layer.self_attn.dropout == 0.1


def test_encoded_level_feeds_the_pyramid_and_the_decoder():
    decoder = encoder_pixel_decoder().eval()
    fine, coarse = torch.randn(2, 8, 6, 8), torch.randn(2, 24, 3, 4)
    pixel_embed, memory = decoder([fine, coarse])
    x = F.conv2d(coarse, decoder.input_proj.weight, decoder.input_proj.bias)
    position = SinePositionalEncoding(16)(x).flatten(2).transpose(1, 2)
    tokens = x.flatten(2).transpose(1, 2)
    for layer in decoder.encoder_layers:
        tokens = layer(tokens, position)
    encoded = tokens.transpose(1, 2).reshape(2, 16, 3, 4)
    torch.testing.assert_close(memory, encoded)
    pyramid_of_encoded = core.FPNPixelDecoder([8, 16], channels=16, mask_channels=12, norm_groups=4)
    own = {n: t for n, t in decoder.state_dict().items() if not n.startswith(("input", "encoder"))}
    pyramid_of_encoded.load_state_dict(own)
    expected = core.pixel_embedding(pyramid_of_encoded([fine, encoded])[0])
    torch.testing.assert_close(core.pixel_embedding(pixel_embed), expected)
    assert decoder.memory_channels == 16


def test_encoder_matrices_are_xavier_uniform():
    decoder = core.TransformerEncoderPixelDecoder([256, 2048], num_layers=1)
    matrices = {n: p for n, p in decoder.encoder_layers.named_parameters() if p.ndim > 1}
    assert len(matrices) == 4
    for name, matrix in matrices.items():
        bound = math.sqrt(6 / sum(matrix.shape))
        assert matrix.abs().max().item() == pytest.approx(bound, rel=0.02), name
    assert decoder.input_proj.weight.std().item() == pytest.approx(2048**-0.5, rel=0.02)
    assert not decoder.input_proj.bias.any()


def test_every_convolution_is_filled_by_fan_in():
    decoder = core.FPNPixelDecoder([256, 512, 1024, 2048])
    convs = [m for m in decoder.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 3 + 4 + 1
    for conv in convs:
        fan_in = conv.weight[0].numel()
        assert conv.weight.std().item() == pytest.approx(fan_in**-0.5, rel=0.02)
        assert conv.bias is None or not conv.bias.any()


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
        (lambda: core.FPNPixelDecoder([8]), "at least two levels"),
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
