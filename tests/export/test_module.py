"""What is traced, without tracing it."""

import copy

import pytest
import torch
from mmcv.cnn.bricks.conv2d_adaptive_padding import Conv2dAdaptivePadding
from mmseg.models import SwinTransformer
from mmseg.models.backbones.swin import ShiftWindowMSA
from mmseg.models.utils.embed import AdaptivePadding

from mmmaskformer.export.module import ExportedMaskFormer, eager_outputs, normalization
from mmmaskformer.export.symbolic import symbolic_sizes


def images(count, height, width):
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8)


@pytest.mark.parametrize("rgb", [True, False])
@torch.no_grad()
def test_the_module_gives_what_the_model_gives(sure_model, rgb):
    model = copy.deepcopy(sure_model)
    model.data_preprocessor.channel_conversion = rgb
    batch = images(2, 64, 96)
    module = ExportedMaskFormer(model, scores=True).eval()
    assert module.outputs == ["class_logits", "mask_logits", "scores"]
    found = module(batch.float())
    wanted = eager_outputs(model, list(batch), scores=True)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    assert [tuple(part.shape) for part in found] == [(2, 20, 11), (2, 20, 16, 24), (2, 10, 64, 96)]


@torch.no_grad()
def test_score_maps_are_class_times_mask_probability(sure_model):
    batch = images(1, 64, 64)
    logits, masks, scores = ExportedMaskFormer(sure_model, scores=True).eval()(batch.float())
    full = torch.nn.functional.interpolate(masks, scale_factor=4, mode="bilinear").sigmoid()
    prob = logits.softmax(-1)
    slow = sum(prob[0, q, :10, None, None] * full[0, q] for q in range(20))
    torch.testing.assert_close(scores[0], slow, atol=1e-5, rtol=1e-5)


def test_normalization_is_red_green_blue(sure_model):
    preprocessor = copy.deepcopy(sure_model.data_preprocessor)
    mean, std = normalization(preprocessor)
    assert mean == pytest.approx([123.675, 116.28, 103.53])
    preprocessor.channel_conversion = False  # then the numbers are those of blue, green, red
    assert normalization(preprocessor) == (mean[::-1], std[::-1])
    preprocessor._enable_normalize = False
    assert normalization(preprocessor) == ([0.0] * 3, [1.0] * 3)


@pytest.fixture(scope="module")
def swin():
    torch.manual_seed(0)
    model = SwinTransformer(
        embed_dims=8, depths=(2, 2, 2, 2), num_heads=(1, 2, 2, 4), window_size=7
    )
    model.eval()  # which returns None
    for name, parameter in model.named_parameters():
        if "bias" in name:
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("size", [(224, 224), (61, 83), (32, 257)])
@torch.no_grad()
def test_swin_with_symbolic_sizes_is_swin(swin, size):
    x = torch.randn(2, 3, *size)
    wanted = swin(x)
    with symbolic_sizes():
        found = swin(x)
    assert len(found) == 4
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", ["same", "corner"])
@pytest.mark.parametrize("filters", [(4, 4, 1), (7, 4, 1), (3, 1, 2), ((3, 5), (1, 2), (1, 3))])
@pytest.mark.parametrize("size", [(16, 20), (13, 18), (1, 7)])
def test_padding_of_patches(padding, filters, size):
    kernel, stride, dilation = filters
    layer = AdaptivePadding(kernel, stride, dilation, padding)
    x = torch.randn(2, 3, *size)
    wanted = layer(x)
    with symbolic_sizes():
        torch.testing.assert_close(layer(x), wanted, atol=0, rtol=0)


@pytest.mark.parametrize("filters", [(3, 2, 1), (5, 2, 1), (1, 1, 1), ((3, 5), (2, 1), (1, 2))])
@pytest.mark.parametrize("size", [(16, 20), (13, 18), (1, 7)])
@torch.no_grad()
def test_padded_convolutions(filters, size):
    kernel, stride, dilation = filters
    layer = Conv2dAdaptivePadding(4, 6, kernel, stride, dilation=dilation, groups=2)
    x = torch.randn(2, 4, *size)
    wanted = layer(x)
    with symbolic_sizes():
        torch.testing.assert_close(layer(x), wanted, atol=0, rtol=0)


def test_filters_with_gaps_are_refused():
    layer = AdaptivePadding(kernel_size=2, stride=4)
    with pytest.raises(ValueError, match="filter of 2 pixels with a stride of 4"), symbolic_sizes():
        layer(torch.zeros(1, 3, 9, 9))


def test_layers_are_their_own_again_afterwards():
    layers = ShiftWindowMSA, AdaptivePadding, Conv2dAdaptivePadding
    before = [layer.forward for layer in layers]
    with symbolic_sizes():
        assert not {layer.forward for layer in layers} & set(before)
    with pytest.raises(ZeroDivisionError), symbolic_sizes():
        _ = 1 / 0
    assert [layer.forward for layer in layers] == before
