"""The transformer decoder and its positions, against their definitions."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from mmmaskformer import core
from mmmaskformer.core.position import SinePositionalEncoding
from mmmaskformer.core.transformer import attend


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


def test_hidden_units_are_kept_once():
    """Backward of a feed-forward keeps the dropout's mask and what is behind the ReLU."""
    layer = core.transformer.TransformerLayer(
        8, 2, feedforward_channels=40, dropout=0.5, self_attention=False, cross_attention=False
    ).train()
    x = torch.randn(2, 3, 8)
    kept = {}
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.setdefault(t.untyped_storage()._cdata, t) is None or t, lambda t: t
    ):
        torch.manual_seed(0)
        found = layer(x, x)
    weights = {p.untyped_storage()._cdata for p in layer.parameters()}
    hidden = [t for key, t in kept.items() if key not in weights and t.numel() == 2 * 3 * 40]
    assert len(hidden) == 2
    torch.manual_seed(0)
    wanted = layer.dropout(layer.linear2(layer.dropout(layer.linear1(x).relu())))
    assert torch.equal(found, layer.ffn_norm(x + wanted))


@pytest.mark.parametrize("alike", [True, False], ids=["queries are keys", "queries and keys"])
@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_attention_is_that_of_the_module(alike, dropout):
    module = nn.MultiheadAttention(12, 3, dropout, batch_first=True)
    nn.init.normal_(module.in_proj_bias)
    nn.init.normal_(module.out_proj.bias)
    query = torch.randn(2, 5, 12, requires_grad=True)
    key = query if alike else torch.randn(2, 7, 12, requires_grad=True)
    value = torch.randn(*key.shape, requires_grad=True)
    results = []
    for way in (attend, lambda module, *inputs: module(*inputs, need_weights=False)[0]):
        torch.manual_seed(1)  # of the dropout
        attended = way(module, query, key, value)
        wanted = [query, key, value, *module.parameters()]
        results.append([attended, *torch.autograd.grad(attended.square().sum(), wanted)])
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("change", ["hook", "no bias", "extra key"])
def test_attention_that_is_not_plain_is_called(change):
    kinds = {"no bias": dict(bias=False), "extra key": dict(add_bias_kv=True)}
    module = nn.MultiheadAttention(12, 3, batch_first=True, **kinds.get(change, {}))
    x, calls = torch.randn(2, 5, 12), []
    wanted = module(x, x, x, need_weights=False)[0]
    if change == "hook":
        module.register_forward_hook(lambda *_: calls.append(1))
    torch.testing.assert_close(attend(module, x, x, x), wanted)
    assert len(calls) == (change == "hook")


def test_pruned_attention_trains():
    layer = core.TransformerDecoder(8, num_heads=2, num_layers=1).layers[0]
    prune.l1_unstructured(layer.self_attn, "in_proj_weight", 0.5)
    for _ in range(2):  # the hook makes the weight anew for every step
        x = attend(layer.self_attn, *[torch.randn(1, 3, 8)] * 3)
        x.sum().backward()
    assert (layer.self_attn.in_proj_weight_orig.grad == 0).sum() >= 12 * 8


def test_positions_stay_those_of_single_precision_in_a_model_of_half():
    x = torch.zeros(1, 1, 8, 8)
    exact = SinePositionalEncoding(96)(x)
    assert torch.equal(SinePositionalEncoding(96).half()(x.half()), exact)
