"""Panoptic-DeepLab's decoder against the published implementation."""

import numpy as np
import pytest
import torch

from mmmaskformer.baselines.panoptic_deeplab_network import PanopticDeepLab

SMALL = dict(
    num_classes=6,
    channels=16,
    instance_channels=10,
    head_channels=14,
    instance_head_channels=8,
    projections=(6, 8),
    aspp_channels=18,
    dilations=(2, 4, 6),
)
PARTS = {
    "semantic": "sem.decoder",
    "semantic_head": "sem.head",
    "classifier": "sem.predictor",
    "instance": "ins.decoder",
    "center_head": "ins.center_head",
    "center": "ins.center_predictor",
    "offset_head": "ins.offset_head",
    "offset": "ins.offset_predictor",
}
"""Our part -> its name in the published implementation."""
INNER = {
    "aspp.branches": "res5.project_conv.convs",
    "aspp.pooled.1": "res5.project_conv.convs.4.1",
    "aspp.project": "res5.project_conv.project",
    "projects.0": "res3.project_conv",
    "mixes.0": "res3.fuse_conv",
    "projects.1": "res2.project_conv",
    "mixes.1": "res2.fuse_conv",
}


def published_name(name, separable):
    """Where a weight of ours stands in the file."""
    part, rest = name.split(".", 1)
    for ours, theirs in INNER.items():
        if part in ("semantic", "instance") and rest.startswith(ours):
            rest = theirs + rest[len(ours) :]
    words = rest.split(".")
    if part in ("classifier", "center", "offset") or "convs.4.1" in rest:
        return ".".join([PARTS[part], *words])
    # The convolution is 0 of its sequence, and the norm 1.
    *path, index, kind = words
    is_pair = path and path[-1] in ("0", "1") and (len(path) < 2 or path[-2] != "convs")
    if separable and part != "center_head" and (is_pair or (len(path) > 1 and path[-2] in "123")):
        path[-1] = ["depthwise", "pointwise"][int(path[-1])]
    return ".".join([PARTS[part], *path, *(["norm"] if index == "1" else []), kind])


@pytest.mark.data
@pytest.mark.parametrize("variant", ["dsconv", "conv"])
def test_outputs_are_the_published_implementation_s(shared, variant):
    made = np.load(shared / "baselines" / "reference" / "pdl_heads.npz")
    model = PanopticDeepLab((12, 20, 28), separable=variant == "dsconv", **SMALL).eval()
    state = {
        name: torch.from_numpy(made[f"{variant}.{published_name(name, variant == 'dsconv')}"])
        for name in model.state_dict()
    }
    model.load_state_dict(state)
    features = [torch.from_numpy(made[f"in.{level}"]) for level in ("res2", "res3", "res5")]
    with torch.no_grad():
        logits, centers = model(features)

    for found, name in (
        (logits, "sem_low"),
        (centers[:, :1], "center_low"),
        (centers[:, 1:] / 4, "offset_low"),
    ):
        wanted = torch.from_numpy(made[f"{variant}.out.{name}"])
        assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max(), name


@pytest.mark.parametrize(
    ("separable", "semantic", "instance"),
    [(True, 3_311_603, 3_327_939), (False, 19_344_083, 16_794_275)],
)
def test_parameters_are_as_many_as_published(separable, semantic, instance):
    with torch.device("meta"):
        model = PanopticDeepLab((256, 512, 2048), num_classes=19, separable=separable)
    counts = {"semantic": 0, "instance": 0}
    for name, weight in model.named_parameters():
        branch = (
            "semantic"
            if name.split(".")[0] in ("semantic", "semantic_head", "classifier")
            else "instance"
        )
        counts[branch] += weight.numel()
    assert counts == {"semantic": semantic, "instance": instance}


def test_every_parameter_learns_and_small_images_pass():
    """Levels smaller than the deepest dilation."""
    model = PanopticDeepLab((12, 20, 28), **SMALL)
    features = [torch.randn(2, c, s, s) for c, s in ((12, 8), (20, 4), (28, 2))]
    logits, centers = model(features)
    assert logits.shape == (2, 6, 8, 8)
    assert centers.shape == (2, 3, 8, 8)
    (logits.square().sum() + centers.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        ((1, 2), {}, r"three levels and two projections, got in_channels=\[1, 2\]"),
        ((1, 2, 3), dict(num_classes=1), "num_classes must be at least 2, got 1"),
        ((1, 2, 3), dict(instance_head_channels=0), "must be at least 1, got 0"),
        ((1, 2, 3), dict(separable="no"), "separable must be True or False, got 'no'"),
        ((1, 2, 3), dict(dilations=[0]), r"dilations\[0\] must be at least 1, got 0"),
    ],
)
def test_wrong_options(channels, options, message):
    with pytest.raises(ValueError, match=message):
        PanopticDeepLab(channels, **{"num_classes": 3, **options})
