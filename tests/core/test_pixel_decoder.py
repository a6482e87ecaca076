"""The pixel decoders, against their definitions."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mmmaskformer import core
from mmmaskformer.core.position import SinePositionalEncoding


def pyramid(batch=2):
    return [torch.randn(batch, c, 16 // s, 12 // s) for c, s in ((8, 1), (16, 2), (24, 4))]


def pyramid_decoder(**kwargs):
    """Norms included, its weights are random."""
    sizes = dict(channels=16, mask_channels=12, norm_groups=4)
    decoder = core.FPNPixelDecoder([8, 16, 24], **sizes, **kwargs)
    for norm in decoder.modules():
        if isinstance(norm, nn.GroupNorm):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    return decoder


def definition(decoder, features):
    """The pixel embedding, step by step, with all that plain autograd keeps."""

    def block(layer, x, relu):
        kernel = layer.conv.weight.shape[-1]
        x = F.conv2d(x, layer.conv.weight, padding=kernel // 2)
        x = F.group_norm(x, 4, layer.norm.weight, layer.norm.bias)
        return x.relu() if relu else x

    *fine, coarsest = features
    x = block(decoder.output_convs[-1], coarsest, relu=True)
    for level in reversed(range(len(fine))):
        up = x.repeat_interleave(2, -1).repeat_interleave(2, -2)
        x = block(decoder.lateral_convs[level], fine[level], relu=False) + up
        x = block(decoder.output_convs[level], x, relu=True)
    return F.conv2d(x, decoder.mask_features.weight, decoder.mask_features.bias, padding=1)


@pytest.mark.parametrize("with_cp", [False, True])
def test_pixel_decoder_equals_its_definition(with_cp):
    decoder = pyramid_decoder(with_cp=with_cp).double()
    features = [x.double().requires_grad_() for x in pyramid()]
    pixels, memory = decoder(features)
    assert memory is features[-1]
    found, wanted = core.pixel_embedding(pixels), definition(decoder, features)
    torch.testing.assert_close(found, wanted)
    leaves = [*features, *decoder.parameters()]
    upstream = torch.randn_like(found)
    grads, wanted = (torch.autograd.grad(x, leaves, upstream) for x in (found, wanted))
    torch.testing.assert_close(grads, wanted)


class Convolutions(TorchDispatchMode):
    """Collects the kernel sizes of the convolutions that are computed forward."""

    def __init__(self):
        super().__init__()
        self.kernels = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            self.kernels.append(args[1].shape[-1])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("with_cp", "again"), [(False, []), (True, [1, 1, 3, 3, 3])])
def test_large_convolutions_are_computed_once(with_cp, again):
    """What is computed again in backward: with checkpointing, the pyramid but its last norm."""
    pixels, _ = pyramid_decoder(with_cp=with_cp)(pyramid())
    total = core.pixel_embedding(pixels).sum()
    with Convolutions() as counted:
        total.backward()
    assert sorted(counted.kernels) == again


def test_results_of_convolutions_are_all_that_is_kept():
    decoder, features = pyramid_decoder(), pyramid()
    sizes = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: sizes.setdefault(t.untyped_storage()._cdata, t) is None or t, lambda t: t
    ):
        pixels, _ = decoder(features)
    inputs = [x.untyped_storage()._cdata for x in (*features, *decoder.parameters())]
    kept = [t.numel() for key, t in sizes.items() if key not in inputs and t.ndim == 4]
    # Output convolutions of 4x3, 8x6 and 16x12 cells, lateral ones, and what the pixels have.
    assert sorted(kept) == [2 * 16 * cells for cells in (12, 48, 48, 192, 192, 192)]


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


class Features(nn.Module):
    """A pixel decoder of tensors."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, *levels):
        return self.decoder(levels)[0].features


def test_it_can_be_traced_where_gradients_are_on():
    decoder = Features(core.FPNPixelDecoder([4, 8], channels=32, mask_channels=8)).eval()
    levels = torch.randn(1, 4, 8, 8), torch.randn(1, 8, 4, 4)
    traced = torch.jit.trace(decoder, levels)
    torch.testing.assert_close(traced(*levels), decoder(*levels))
