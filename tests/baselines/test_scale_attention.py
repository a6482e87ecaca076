"""HMSANet's attention between scales: the joint maps, training, testing and other models' heads."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from torch.nn import functional as F

from mmmaskformer.baselines.scale_attention import join_scales
from mmmaskformer.registry import MODELS
from tests.seg.test_segmentor import CLASSES, MASKFORMER, SMALL, losses_of, make_data

pytestmark = pytest.mark.usefixtures("mmseg_scope")
PREPROCESSOR = dict(
    type="mmmaskformer.MaskFormerDataPreProcessor",
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    size_divisor=32,
    test_cfg=dict(size_divisor=32),
)
FCN = dict(
    type="FCNHead", in_channels=512, in_index=3, channels=16, num_convs=1, num_classes=CLASSES,
    dropout_ratio=0.0, loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True),
)  # fmt: skip
AUXILIARY = dict(
    FCN, in_channels=256, in_index=2,
    loss_decode=dict(type="CrossEntropyLoss", avg_non_ignore=True, loss_weight=0.4),
)  # fmt: skip
OCR = {key: value for key, value in FCN.items() if key != "num_convs"}
CASCADE = [FCN, dict(OCR, type="OCRHead", ocr_channels=8)]
PER_PIXEL = {**SMALL, "type": "mmmaskformer.PerPixelBaselineHead"}
QUERIES = {**SMALL, **MASKFORMER}


def build(decode_head=FCN, **options):
    torch.manual_seed(0)
    model = MODELS.build(
        dict(
            type="mmmaskformer.ScaleAttention",
            data_preprocessor=PREPROCESSOR,
            backbone=dict(type="ResNet", depth=18, norm_cfg=dict(type="BN")),
            decode_head=decode_head,
            **{"attention_channels": 16, **options},
        )
    )
    with torch.no_grad():
        model.attention[-1].weight *= 1000  # an attention that is not 0.5 everywhere
    return model


def up(maps, like):
    return F.interpolate(maps, size=like.shape[-2:], mode="bilinear", align_corners=False)


def made_outputs(scales, size=(8, 12)):
    torch.manual_seed(1)
    sizes = [(int(size[0] * s), int(size[1] * s)) for s in scales]
    return [
        (scale, torch.randn(2, 3, *at), torch.rand(2, 1, *at))
        for scale, at in zip(scales, sizes, strict=True)
    ]


def test_joining_is_the_definition_step_by_step():
    outputs = made_outputs((2, 1, 0.5, 0.25))
    (_, l2, _), (_, l1, a1), (_, l05, a05), (_, l025, a025) = outputs
    joint = a1 * l1 + (1 - a1) * up(l2, l1)
    joint = up(a05 * l05, l1) + (1 - up(a05, l1)) * joint
    joint = up(a025 * l025, l1) + (1 - up(a025, l1)) * joint
    assert torch.equal(join_scales(outputs), joint)
    assert torch.equal(join_scales(iter(outputs[:1])), l2)


def test_flat_maps_are_weighted_by_hand():
    """Scale 0.5 says 8 and trusts itself by 1/4; scale 1 says 4, by 1/2; scale 2 says 0."""
    said = {2: (0.0, 0.9), 1: (4.0, 0.5), 0.5: (8.0, 0.25)}
    outputs = [
        (s, torch.full((1, 1, int(4 * s), int(4 * s)), value),
         torch.full((1, 1, int(4 * s), int(4 * s)), trust))
        for s, (value, trust) in said.items()
    ]  # fmt: skip
    assert (join_scales(outputs) == 0.25 * 8 + 0.75 * (0.5 * 4 + 0.5 * 0)).all()


def test_the_attention_of_the_largest_scale_is_not_used():
    outputs = made_outputs((1, 0.5))
    for _, _, attention in outputs:
        attention.requires_grad_()
    join_scales(outputs).sum().backward()
    assert outputs[0][2].grad is None
    assert outputs[1][2].grad.all()


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "scales"),
    [
        ("two", (1, 0.5)),
        ("n_0.5_1", (1, 0.5)),
        ("n_0.5_1_2", (2, 1, 0.5)),
        ("n_0.25_0.5_1_2", (2, 1, 0.5, 0.25)),
        ("n_1_2", (2, 1)),
    ],
)
def test_joining_is_the_published_one(shared, name, scales):
    made = np.load(shared / "baselines" / "reference" / "hmsa_fusion.npz")
    given = {key[6:]: torch.from_numpy(made[key]) for key in made if made[key].ndim}
    outputs = [(s, given[f"logits_{float(s)}"], given[f"attn_{float(s)}"]) for s in scales]
    assert torch.equal(join_scales(outputs), given[name])


def parts_of(model, image):
    """Logits and attention of an FCN at one size, by the parts of the model."""
    features = model.backbone(image)
    pixels = model.decode_head._forward_feature(features)
    logits = up(model.decode_head.conv_seg(pixels), image)
    aux = up(model.auxiliary_head(features), image) if model.with_auxiliary_head else None
    return logits, up(model.attention(pixels).sigmoid(), image), aux


def test_losses_are_those_of_joint_logits():
    """In test mode, so that no pass changes a norm; labels are partly ignored."""
    scale_loss = dict(type="CrossEntropyLoss", loss_weight=0.05, avg_non_ignore=True)
    model = build(auxiliary_head=AUXILIARY, scale_loss=scale_loss).eval()
    data = make_data((64, 96), (64, 96))
    data["data_samples"][0].gt_sem_seg.data[:, :30] = 255
    found = losses_of(model, data)
    batch = model.data_preprocessor(copy.deepcopy(data), training=True)
    image = batch["inputs"]
    labels = torch.stack([s.gt_sem_seg.data[0] for s in batch["data_samples"]])
    half = F.interpolate(image, size=(32, 48), mode="bilinear", align_corners=False)
    (low, trust, aux_low), (full, _, aux_full) = parts_of(model, half), parts_of(model, image)
    share = up(trust, full)

    def entropy(logits):
        return F.cross_entropy(logits, labels, ignore_index=255).item()

    expected = {
        "decode.loss_ce": entropy(up(trust * low, full) + (1 - share) * full),
        "aux.loss_ce": 0.4 * entropy(up(trust * aux_low, full) + (1 - share) * aux_full),
        "scale_1.loss_ce": 0.05 * entropy(full),
        "scale_0.5.loss_ce": 0.05 * entropy(up(low, full)),
    }
    losses = {key: value.item() for key, value in found.items() if "loss" in key}
    assert losses == pytest.approx(expected, rel=1e-5)
    assert share.std() > 0.01


def test_supervised_scales_have_the_published_weight(shared):
    made = np.load(shared / "baselines" / "reference" / "hmsa_fusion.npz")
    model = build(
        {**FCN, "num_classes": 4},
        scale_loss=dict(type="CrossEntropyLoss", loss_weight=0.05, avg_non_ignore=True),
    )
    given = {key: torch.from_numpy(made[f"given.{key}"]) for key in ("labels", "attn_0.5")}
    logits = {s: torch.from_numpy(made[f"given.logits_{float(s)}"]) for s in (0.5, 1)}
    model.answer = lambda inputs, scale, auxiliary: (
        {"decode": logits[scale]}, given["attn_0.5"] if scale == 0.5 else None, []
    )  # fmt: skip
    samples = make_data((32, 48), labels=given["labels"].long())["data_samples"]
    losses = model.loss(torch.zeros(1, 3, 32, 48), samples)
    scales = losses["scale_1.loss_ce"] + losses["scale_0.5.loss_ce"]
    assert losses["decode.loss_ce"].item() == pytest.approx(made["given.loss_0.0"], rel=1e-6)
    assert (losses["decode.loss_ce"] + scales).item() == pytest.approx(
        made["given.loss_0.05"], rel=1e-6
    )


@pytest.mark.parametrize(
    ("head", "names"),
    [
        (dict(FCN, loss_decode=dict(type="mmmaskformer.RMILoss")), {"decode.loss_rmi"}),
        (CASCADE, {"decode_0.loss_ce", "decode_1.loss_ce"}),
        (PER_PIXEL, {"decode.loss_ce", "joint.loss_ce"}),
        (
            QUERIES,
            {"joint.loss_ce"}
            | {f"decode.{d}loss_{n}" for d in ("", "d0.") for n in ("cls", "mask", "dice")},
        ),
    ],
    ids=["rmi", "cascade", "per-pixel", "queries"],
)
def test_a_step_reaches_every_parameter(head, names):
    model = build(head, auxiliary_head=AUXILIARY).train()
    losses = losses_of(model, make_data((64, 96), (64, 96)))
    assert {key for key in losses if "loss" in key} == names | {"aux.loss_ce"}
    total, _ = model.parse_losses(losses)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert not name.startswith("attention") or parameter.grad.any(), name


def test_joint_loss_of_queries_is_of_shares():
    """The cross entropy of a score's share of the sum over the classes, at labelled pixels."""
    model = build(QUERIES).eval()
    data = make_data((128, 64))
    data["data_samples"][0].gt_sem_seg.data[:, :100] = 255
    found = losses_of(model, data)["joint.loss_ce"]
    batch = model.data_preprocessor(copy.deepcopy(data), training=True)
    model.test_scales = [1, 0.5]
    with torch.no_grad():
        joint = model(batch["inputs"], mode="tensor")[0]
    labels = data["data_samples"][0].gt_sem_seg.data[0]
    share = joint / joint.sum(0)
    terms = [
        -share[labels[y, x], y, x].log()
        for y in range(128)
        for x in range(64)
        if labels[y, x] < 255
    ]
    assert len(terms) == 28 * 64
    assert found.item() == pytest.approx((sum(terms) / len(terms)).item(), rel=1e-4)


@pytest.mark.parametrize("head", [FCN, CASCADE, PER_PIXEL, QUERIES])
def test_nothing_labelled(head):
    """Finite losses, and no gradient from the joint maps."""
    model = build(head).train()
    labels = torch.full((2, 64, 64), 255)
    losses = losses_of(model, make_data((64, 64), (64, 64), labels=labels))
    assert all(value.isfinite() for key, value in losses.items() if "loss" in key)
    key = "joint.loss_ce" if "joint.loss_ce" in losses else "decode.loss_ce"
    assert losses.get(key, losses.get("decode_1.loss_ce")) == 0


@pytest.mark.parametrize("head", [FCN, CASCADE, PER_PIXEL, QUERIES])
def test_one_scale_is_the_model_itself(head):
    kind = "CascadeEncoderDecoder" if head is CASCADE else "EncoderDecoder"
    model = build(head, test_scales=[1]).eval()
    options = dict(num_stages=2) if head is CASCADE else {}
    plain = MODELS.build(
        dict(
            type=kind,
            data_preprocessor=PREPROCESSOR,
            backbone=dict(type="ResNet", depth=18, norm_cfg=dict(type="BN")),
            decode_head=head,
            test_cfg=ConfigDict(mode="whole"),
            **options,
        )
    ).eval()
    plain.load_state_dict(model.state_dict(), strict=False)
    data = make_data((70, 90))
    (found,), (expected,) = (m.test_step(copy.deepcopy(data)) for m in (model, plain))
    torch.testing.assert_close(found.seg_logits.data, expected.seg_logits.data)


@pytest.mark.parametrize("head", [FCN, QUERIES])
def test_a_batch_is_its_images(head):
    model = build(head).eval()
    data = make_data((64, 96), (64, 96))
    both = model.test_step(copy.deepcopy(data))
    for index, result in enumerate(both):
        single = {key: [value[index]] for key, value in copy.deepcopy(data).items()}
        (alone,) = model.test_step(single)
        scores = alone.seg_logits.data
        torch.testing.assert_close(result.seg_logits.data, scores, rtol=1e-4, atol=1e-5)
        assert torch.equal(alone.pred_sem_seg.data[0], scores.argmax(0))


def test_half_precision_joins_in_single_precision():
    """Joint maps, attention and loss are float32, near those without autocast."""
    model = build(dict(FCN, loss_decode=dict(type="mmmaskformer.RMILoss"))).eval()
    data = make_data((64, 96))
    plain = losses_of(model, data)["decode.loss_rmi"]
    with torch.autocast("cpu", torch.bfloat16):
        maps, attention, _ = model.answer(torch.randn(1, 3, 64, 96), 0.5)
        half = losses_of(model, data)["decode.loss_rmi"]
    assert {maps["decode"].dtype, attention.dtype, half.dtype} == {torch.float32}
    assert half.item() == pytest.approx(plain.item(), rel=0.05)


def test_a_copy_is_a_model_of_its_own():
    """As an average of weights makes: its features are not taken from the first."""
    model = build(test_scales=[1, 0.5]).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(image, mode="tensor")
        twin = copy.deepcopy(model)
        for weight in model.parameters():
            weight.zero_()
        torch.testing.assert_close(twin(image, mode="tensor"), expected)
        assert not torch.allclose(model(image, mode="tensor"), expected)


@pytest.mark.parametrize("head", [FCN, QUERIES])
def test_odd_sizes(head):
    """Sizes of scales are rounded down, and results have the size of the input."""
    model = build(head, test_scales=[2, 1, 0.5, 0.3]).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 135, 203), mode="tensor").shape == (1, CLASSES, 135, 203)
        maps, attention, _ = model.answer(torch.randn(1, 3, 135, 203), 0.5)
    assert maps["decode"].shape[-2:] == attention.shape[-2:] == (67, 101)
    assert not any(part._forward_hooks for part in model.modules())  # each pass takes its own away


def test_sliding_windows_are_joined_one_by_one():
    model = build(test_cfg=dict(mode="slide", crop_size=(64, 64), stride=(64, 64))).eval()
    data = make_data((64, 128))
    (found,) = model.test_step(copy.deepcopy(data))
    image = model.data_preprocessor(data, False)["inputs"]
    with torch.no_grad():
        windows = [model(part, mode="tensor")[0] for part in image.split(64, 3)]
    torch.testing.assert_close(found.seg_logits.data, torch.cat(windows, 2), rtol=1e-4, atol=1e-5)
