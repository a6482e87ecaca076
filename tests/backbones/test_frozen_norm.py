"""FrozenBN against batch norm in evaluation mode, and what it keeps for backward."""

import pytest
import torch
from mmcv.cnn import build_norm_layer
from mmengine.registry import MODELS
from mmseg.utils import register_all_modules
from torch import nn

from mmmaskformer.backbones.frozen_norm import FrozenBN, folded

register_all_modules()
CFG = dict(type="mmmaskformer.FrozenBN", requires_grad=False)


def pair(channels=5):
    """The same weights twice: frozen, and mmseg's way to freeze."""
    generator = torch.Generator().manual_seed(0)
    name, frozen = build_norm_layer(CFG, channels, postfix=1)
    assert name == "bn1"
    state = {
        key: torch.rand(value.shape, generator=generator) + 0.1 if value.ndim else value
        for key, value in frozen.state_dict().items()
    }
    plain = nn.BatchNorm2d(channels).eval().requires_grad_(False)
    for layer in (frozen, plain):
        layer.load_state_dict(state)
    return frozen, plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_values_and_gradients_are_those_of_batch_norm(dtype, layout):
    frozen, plain = pair()
    if dtype == torch.float64:
        frozen, plain = frozen.double(), plain.double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 5, 6, 7, generator=generator).to(dtype).contiguous(memory_format=layout)
    upstream = torch.randn(2, 5, 6, 7, generator=generator).to(dtype)
    results = []
    for layer in (frozen.train(), plain):
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(upstream)
        results.append((y.detach(), leaf.grad))
    (y, grad), (wanted_y, wanted_grad) = results
    assert torch.equal(y, wanted_y)
    assert grad.dtype == dtype
    assert y.is_contiguous(memory_format=layout)
    torch.testing.assert_close(grad, wanted_grad, rtol=1e-6, atol=0)
    assert torch.equal(frozen.running_mean, plain.running_mean)  # in training mode, too


def test_nothing_of_the_size_of_the_input_is_kept():
    kept = {}
    x = torch.randn(2, 5, 40, 40, requires_grad=True)
    for name, layer in zip(("frozen", "plain"), pair(), strict=True):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        ):
            layer(x)
        kept[name] = max(sizes)
    assert kept == {"frozen": 5, "plain": x.numel()}


def test_weights_that_would_learn_are_refused():
    _, layer = build_norm_layer(dict(type="mmmaskformer.FrozenBN"), 5)
    with pytest.raises(ValueError, match="requires_grad=False in norm_cfg"):
        layer(torch.zeros(1, 5, 2, 2))


def test_a_resnet_has_the_same_names_and_outputs_with_it():
    backbones = []
    for norm in (CFG, dict(type="BN", requires_grad=False)):
        torch.manual_seed(0)
        cfg = dict(type="mmseg.ResNet", depth=18, norm_cfg=norm, norm_eval=True)
        backbones.append(MODELS.build(cfg))
    ours, stock = backbones
    ours.load_state_dict(stock.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [
        name for name, _ in stock.named_parameters()
    ]
    assert not any(p.requires_grad for n, p in ours.named_parameters() if "bn" in n)
    for backbone in backbones:
        backbone.train()
    x = torch.randn(1, 3, 64, 64)
    for a, b in zip(ours(x), stock(x), strict=True):
        assert torch.equal(a, b)


def random_norms(backbone):
    for layer in backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.0)
            nn.init.uniform_(layer.bias, -0.5, 0.5)


BACKBONES = {
    "R18": dict(type="mmseg.ResNet", depth=18),
    "R50": dict(type="mmseg.ResNet", depth=50),
    "R50c": dict(type="mmseg.ResNetV1c", depth=50),
    "efflite0": dict(type="mmmaskformer.EfficientNetLite"),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_folded_norms_give_the_same(name):
    backbone = MODELS.build(dict(BACKBONES[name], norm_cfg=CFG)).double()
    backbone.eval()
    random_norms(backbone)
    x = torch.randn(1, 3, 64, 96).double()
    result = folded(backbone)
    with torch.no_grad():
        wanted, found = backbone(x), result(x)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in result.modules())
    assert not any(weight.requires_grad for weight in result.parameters())
    assert len(found) == len(wanted) == 4
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_other_norms_are_not_folded():
    backbone = MODELS.build(dict(BACKBONES["R18"], norm_cfg=dict(type="BN"), norm_eval=True))
    assert folded(backbone) is backbone


class Crossed(nn.Module):
    """Defines both convolutions before both norms."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
        self.norm_one, self.norm_two = FrozenBN(4), FrozenBN(4)

    def forward(self, x):
        x = self.norm_one(self.one(x))
        return (self.norm_two(self.two(x)),)


def test_norms_that_do_not_follow_their_convolutions_stay():
    backbone = Crossed().requires_grad_(False).eval()
    random_norms(backbone)
    assert folded(backbone) is backbone
