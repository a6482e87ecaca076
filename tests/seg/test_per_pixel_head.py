"""The per-pixel baselines in mmseg's EncoderDecoder and in our segmentor."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from torch.nn import functional as F

from mmmaskformer.registry import MODELS
from tests.seg.test_segmentor import CLASSES, DECODER, build, losses_of, make_data

HEADS = {
    "baseline": dict(type="mmmaskformer.PerPixelBaselineHead"),
    "plus": dict(type="mmmaskformer.PerPixelBaselinePlusHead", transformer_decoder=DECODER),
}


@pytest.fixture(params=["mmseg.EncoderDecoder", "mmmaskformer.MaskFormer"])
def segmentor(request):
    return request.param


@pytest.fixture(params=HEADS)
def head(request):
    return HEADS[request.param]


def test_a_step_reaches_every_parameter(segmentor, head):
    model = build(segmentor, **head).train()
    losses = losses_of(model, make_data((64, 96), (64, 96)))
    names = {"decode.loss_ce", "decode.acc_seg"}
    if head is HEADS["plus"]:
        names.add("decode.d0.loss_ce")
    assert set(losses) == names
    assert 0 <= losses["decode.acc_seg"].item() <= 100
    model.parse_losses(losses)[0].backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def definition(model, data):
    """Logits at stride 4, times 4, cut, resized: (C, H, W) of each image."""
    batch = model.data_preprocessor(copy.deepcopy(data), False)
    with torch.no_grad():
        logits = model(batch["inputs"], mode="tensor")
    full = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    results = []
    for maps, sample in zip(full, batch["data_samples"], strict=True):
        height, width = sample.img_shape
        cut = maps[None, :, :height, :width]
        results.append(F.interpolate(cut, sample.ori_shape, mode="bilinear")[0])
    return results


@pytest.mark.parametrize("sizes", [[(101, 130)], [(70, 97), (90, 61)]])
def test_prediction_follows_the_definition(segmentor, head, sizes):
    """Also without rounding up to 32, as the original's baselines with a ResNet are tested."""
    model = build(segmentor, **head).eval()
    model.data_preprocessor.test_cfg = dict(size_divisor=1)
    data = make_data(*sizes)
    for sample in data["data_samples"]:
        sample.set_metainfo({"ori_shape": (57, 91)})
    expected = definition(model, data)
    for result, scores in zip(model.test_step(copy.deepcopy(data)), expected, strict=True):
        assert result.seg_logits.data.shape == (CLASSES, 57, 91)
        torch.testing.assert_close(result.seg_logits.data, scores, rtol=1e-4, atol=1e-5)
        assert torch.equal(result.pred_sem_seg.data[0], result.seg_logits.data.argmax(0))


def test_labels_only(head):
    model = build(**head).eval()
    data = make_data((70, 90))
    (full,) = model.test_step(copy.deepcopy(data))
    model.test_cfg["labels_only"] = True
    (labels,) = model.test_step(data)
    assert "seg_logits" not in labels
    assert torch.equal(labels.pred_sem_seg.data, full.pred_sem_seg.data)


def test_tta_is_the_mean_of_logits(segmentor, head):
    """Stock mmseg averages softmax scores; the paper's multi-scale column has raw ones."""
    model = build(segmentor, **head).eval()
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model)).eval()
    views = [make_data((64, 80)), make_data((96, 120))]
    plain = []
    for view in views:
        view["data_samples"][0].set_metainfo({"ori_shape": (100, 125)})
        plain.append(definition(model, view)[0])
    (result,) = tta.test_step({key: [view[key] for view in views] for key in views[0]})
    expected = (plain[0] + plain[1]) / 2
    torch.testing.assert_close(result.seg_logits.data, expected, rtol=1e-4, atol=1e-5)


def test_sliding_window(segmentor, head):
    model = build(segmentor, **head).eval()
    model.test_cfg = ConfigDict(mode="slide", crop_size=(64, 64), stride=(64, 32))
    data = make_data((64, 96))
    (result,) = model.test_step(copy.deepcopy(data))
    image = model.data_preprocessor(data, False)["inputs"]
    expected, count = torch.zeros(CLASSES, 64, 96), torch.zeros(64, 96)
    for left in (0, 32):
        window = image[..., left : left + 64]
        with torch.no_grad():
            logits = model(window, mode="tensor")
        full = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
        expected[..., left : left + 64] += full[0]
        count[:, left : left + 64] += 1
    torch.testing.assert_close(result.seg_logits.data, expected / count, rtol=1e-4, atol=1e-5)


def test_ignored_batch_gives_zero(head):
    labels = [torch.full((64, 64), 255)] * 2
    losses = losses_of(build(**head).train(), make_data((64, 64), (64, 64), labels=labels))
    loss, _ = build(**head).parse_losses(losses)
    loss.backward()
    assert loss.item() == 0


def test_label_out_of_range_names_the_file(head):
    data = make_data((64, 64), labels=[torch.full((64, 64), CLASSES)])
    with pytest.raises(ValueError, match=r"image0\.jpg: label values \[6\] .* \[0, 5\]"):
        losses_of(build(**head), data)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_gives_a_finite_loss_close_to_float32(dtype, head):
    model = build(**head).train()
    data = make_data((64, 96), (64, 96))
    state = copy.deepcopy(model.state_dict())
    expected = losses_of(model, data)
    model.load_state_dict(state)
    with torch.autocast("cpu", dtype):
        losses = losses_of(model, data)
    assert losses["decode.loss_ce"].dtype == torch.float32
    torch.testing.assert_close(
        losses["decode.loss_ce"], expected["decode.loss_ce"], rtol=0.1, atol=0.05
    )


@pytest.mark.parametrize(
    ("overrides", "key"),
    [(dict(num_querys=50), "num_querys"), (dict(loss_cls=dict(wheight=1)), "wheight")],
)
def test_config_typo_names_the_key(head, overrides, key):
    with pytest.raises(TypeError, match=key):
        build(**head, **overrides)


def test_parts_are_swappable_from_config():
    encoder = dict(type="TransformerEncoderPixelDecoder", num_layers=1, feedforward_channels=64)
    head = build(
        **HEADS["plus"], pixel_decoder=encoder, loss_cls=dict(loss_weight=3.0), ignore_index=5
    ).decode_head
    assert len(head.predictor.pixel_decoder.encoder_layers) == 1
    assert head.criterion.loss_weight == 3.0
    assert head.predictor.query_embed.num_embeddings == CLASSES


def test_levels_that_do_not_fit_are_refused_at_test_time_too(segmentor, head):
    model = build(segmentor, **{**head, "in_channels": [128, 256, 512]}, in_index=[1, 2, 3]).eval()
    with pytest.raises(ValueError, match="at stride 4"):
        model.test_step(make_data((64, 96)))


def test_fusions_of_the_other_kind_are_refused(head):
    with pytest.raises(ValueError, match="SemanticFusion is not for the outputs of PerPixelBase"):
        build(**head, fusion=dict(type="mmmaskformer.SemanticFusion"))
    with pytest.raises(ValueError, match="PerPixelFusion is not for the outputs of MaskFormerH"):
        build(fusion=dict(type="mmmaskformer.PerPixelFusion"))


def test_labels_of_sixteen_bits(head):
    labels = [torch.zeros(64, 64, dtype=torch.uint16)]
    labels[0][:10] = 65535
    model = build(**head, ignore_index=65535).train()
    losses = losses_of(model, make_data((64, 64), labels=labels))
    assert losses["decode.loss_ce"].isfinite()


def test_options_reach_the_predictor():
    options = dict(deep_supervision=False, project_memory=False, channels=512)
    predictor = build(**{**HEADS["plus"], **options}).decode_head.predictor
    assert not predictor.deep_supervision
    assert isinstance(predictor.memory_proj, torch.nn.Identity)
    forced = build(**{**HEADS["plus"], **options, "project_memory": True}).decode_head.predictor
    assert isinstance(forced.memory_proj, torch.nn.Conv2d)
