"""Parameters and multiply-adds, counted by hand and as published."""

import pytest
import torch
from torch import nn

from benchmarks.kit import models
from benchmarks.kit.batches import make_batch
from benchmarks.kit.complexity import count_flops
from mmmaskformer.utils.parameters import count_parameters
from tests.conftest import ROOT

pytestmark = pytest.mark.slow


class Tiny(nn.Module):
    """3x3 convolution, attention of all pixels, linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.linear = nn.Linear(8, 5)
        self.register_buffer("scale", torch.ones(7))

    def forward(self, image):
        x = self.conv(image).flatten(2).mT
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + nn.functional.scaled_dot_product_attention(x, x, x)
        return self.linear(x)


def test_flops_are_counted_by_hand():
    model = Tiny().eval()
    pixels = 4 * 6  # of an 8x12 image at stride 2
    convolution = pixels * 8 * 3 * 9
    attention = 4 * pixels * 8 * 8 + 2 * pixels * pixels * 8
    plain_attention = 2 * pixels * pixels * 8
    linear = pixels * 8 * 5
    counted = count_flops(model, lambda: model(torch.zeros(1, 3, 8, 12)))
    assert counted == convolution + attention + plain_attention + linear
    assert count_parameters(model) == (27 * 8 + 8) + (3 * 8 * 8 + 3 * 8 + 8 * 8 + 8) + (8 * 5 + 5)


def test_counting_leaves_model_and_attention_as_they_were():
    model = Tiny().eval()
    model.linear.weight.requires_grad_(False)
    with pytest.raises(ZeroDivisionError):
        count_flops(model, lambda: 1 / 0)
    assert torch.backends.mha.get_fastpath_enabled()
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["linear.weight"]


DEEPLAB = "mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512.py"
UPERNET = "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"
SEGFORMER = "mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py"
PUBLISHED = [
    # Table 1 of the paper (size of the training crop) and, for mmseg's, the same table's rows of
    # others, SegFormer's own paper for the last.
    ("maskformer_r50_ade20k", 512, 41, 53),
    pytest.param("maskformer_r101c_ade20k", 512, 60, 80, marks=pytest.mark.slow),
    ("maskformer_swin-t_ade20k", 512, 42, 55),
    pytest.param("maskformer_swin-s_ade20k", 512, 63, 79, marks=pytest.mark.slow),
    pytest.param(DEEPLAB, 512, 44, 177, marks=pytest.mark.slow),
    pytest.param(UPERNET, 512, 60, 236, marks=pytest.mark.slow),
    (SEGFORMER, 512, 3.8, 8.4),
]


@pytest.mark.parametrize(("config", "size", "parameters", "flops"), PUBLISHED)
def test_published_complexity(config, size, parameters, flops):
    if "::" not in config:
        config = str(ROOT / f"configs/{config}.py")
    cfg = models.load_config(config)
    model = models.build(cfg, "cpu").eval()
    predict = models.prediction(model, *make_batch((size, size), 1, 3, 150, "cpu"))
    assert count_parameters(model) / 1e6 == pytest.approx(parameters, rel=0.013)
    counted = count_flops(model, predict)
    if "::" not in config:
        counted += without_pixel_embedding((size // 4) ** 2)
    assert counted / 1e9 == pytest.approx(flops, rel=0.015)


@pytest.mark.parametrize(
    ("separable", "parameters", "of_heads"), [(True, 30.27, 98.5), (False, 59.77, 721.9)]
)
def test_published_complexity_of_panoptic_deeplab(separable, parameters, of_heads):
    """Multiply-adds of detectron2's backbone and heads at the size of Cityscapes; only shapes."""
    cfg = models.load_config(str(ROOT / "configs/panopticdeeplab_r52_cityscapes-panoptic.py"))
    decoder = dict(type="mmmaskformer.PanopticDeepLab", separable=separable)
    cfg.model.decode_head.decoder = decoder
    model = models.build(cfg, "cpu").eval().to("meta")
    assert count_parameters(model) / 1e6 == pytest.approx(parameters, abs=0.005)
    image, levels = torch.empty(1, 3, 1024, 2048, device="meta"), []
    backbone = count_flops(model, lambda: levels.extend(model.extract_feat(image)))
    heads = count_flops(model, lambda: model.decode_head(levels))
    assert backbone / 1e9 == pytest.approx(316.0, rel=0.001)
    assert heads / 1e9 == pytest.approx(of_heads, rel=0.001)


def without_pixel_embedding(grid, queries=100, channels=256):
    """Multiply-adds that we save: the paper's network convolves to the pixel embedding and
    multiplies it by the mask embeddings, ours by the products of both kernels."""
    kernel = channels * 9
    paper = grid * kernel * channels + grid * channels * queries
    return paper - (grid * kernel * queries + kernel * channels * queries)


def test_the_products_of_inference_are_counted():
    """Scores of 150 classes from 100 masks, at the image's size, are in the paper's figure."""
    counts = []
    for classes in (150, 50):
        cfg = models.load_config(str(ROOT / "configs/maskformer_r50_ade20k.py"))
        models.set_num_classes(cfg.model, classes)
        model = models.build(cfg, "cpu").eval()
        predict = models.prediction(model, *make_batch((64, 64), 1, 3, 50, "cpu"))
        counts.append(count_flops(model, predict))
    assert counts[0] - counts[1] == 100 * (150 - 50) * (64 * 64 + 256)
