"""MaX-DeepLab's attention against deeplab2's, and against loops."""

import numpy as np
import pytest
import torch

from mmmaskformer.baselines.max_attention import AxialAttention, AxisAttention, DualPathLayer
from tests.baselines.deeplab2 import Weights, distance, maps


@pytest.fixture(scope="module")
def made(shared):
    return np.load(shared / "baselines" / "reference" / "max_layers.npz")


@pytest.mark.data
def test_axial_attention_is_the_published_implementation_s(made):
    layer = AxialAttention(8, 8, 16, reach=9, heads=2).eval()
    Weights(made, "axial.w.").axial(layer, "attention")
    with torch.no_grad():
        found = layer(maps(made, "axial.in"))
    assert distance(found, maps(made, "axial.out")) < 1e-5


@pytest.mark.data
def test_dual_path_layer_is_the_published_implementation_s(made):
    layer = DualPathLayer(12, 6, width=8, feedforward_channels=10, heads=2).eval()
    weights = Weights(made, "dual.w.dual_path_transformer_layer/")
    for ours, theirs in (
        (layer.pixel_in, "pixel_conv1_bn_act"),
        (layer.memory_in, "memory_conv1_bn_act"),
        (layer.pixel_qkv, "pixel_qkv_conv_bn"),
        (layer.memory_qkv, "memory_qkv_conv_bn"),
        (layer.pixel_out, "pixel_conv3_bn"),
        (layer.memory_out, "memory_conv3_bn"),
        (layer.feedforward[0], "memory_ffn_conv1_bn_act"),
        (layer.feedforward[1], "memory_ffn_conv2_bn"),
    ):
        weights.conv(ours, theirs)
    for name in ("pixel_attention", "memory_attention"):
        weights.norm(getattr(layer, name).logit_norm, f"{name}/batch_norm_similarity")
        weights.norm(getattr(layer, name).value_norm, f"{name}/batch_norm_retrieved_value")
    with torch.no_grad():
        pixels, memory = layer(maps(made, "dual.pixels"), maps(made, "dual.memory"))
    assert distance(pixels, maps(made, "dual.pixels_out")) < 1e-5
    assert distance(memory, maps(made, "dual.memory_out")) < 1e-5


def test_positions_follow_a_slow_loop():
    """Norms in test mode are the identity at the start, up to epsilon."""
    torch.manual_seed(0)
    layer = AxisAttention(3, 4, 6, reach=6, heads=2).eval()
    sequences = torch.randn(2, 3, 5)
    scale = (1 + 1e-3) ** -0.5
    with torch.no_grad():
        found = layer(sequences)
        for n, head in np.ndindex(2, 2):
            qkv = scale * layer.qkv[0].weight[..., 0] @ sequences[n]
            query, key = qkv[2 * head : 2 * head + 2], qkv[4 + 2 * head : 6 + 2 * head]
            value = qkv[8 + 3 * head : 11 + 3 * head]
            for i in range(5):
                logits = []
                for j in range(5):
                    row = j - i + 5  # distance 0 is in the middle of 11 rows
                    terms = (
                        query[:, i] @ key[:, j],
                        query[:, i] @ layer.query_table[row],
                        key[:, j] @ layer.key_table[row],
                    )
                    logits.append(scale * sum(terms))
                weight = torch.stack(logits).softmax(0)
                wanted = sum(
                    weight[j] * (value[:, j] + layer.value_table[j - i + 5]) for j in range(5)
                )
                ours = found[n, 3 * head : 3 * head + 3, i]
                torch.testing.assert_close(ours, scale * wanted, rtol=1e-4, atol=1e-5)


def test_axes_are_the_height_and_then_the_width():
    """A map of one row sees no other positions along its height."""
    torch.manual_seed(1)
    layer = AxialAttention(4, 8, 8, reach=7).eval()
    image = torch.randn(2, 4, 6, 3)
    with torch.no_grad():
        rows = torch.stack([layer.height(image[..., column]) for column in range(3)], 3)
        wanted = torch.stack([layer.width(rows[:, :, row]) for row in range(6)], 2)
        torch.testing.assert_close(layer(image), wanted)


def test_a_layer_changes_nothing_but_activations_at_the_start():
    """Its residual branches end in norms whose weight is 0."""
    layer = DualPathLayer(12, 6, width=8, feedforward_channels=10)
    pixels, memory = torch.randn(2, 12, 3, 4), torch.randn(2, 6, 5)
    after, slots = layer(pixels, memory)
    assert torch.equal(after, pixels)
    assert torch.equal(slots, memory.relu())
