"""The head in mmseg's EncoderDecoder and in ours: train, test, slide, TTA."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.nn import functional as F

from mmmaskformer.heads import maskformer_head
from mmmaskformer.registry import MODELS

CLASSES = 6
SMALL = dict(in_channels=[64, 128, 256, 512], num_classes=CLASSES, channels=32, mask_channels=32)
DECODER = dict(num_layers=2, feedforward_channels=64, dropout=0.0)
MASKFORMER = dict(type="mmmaskformer.MaskFormerHead", num_queries=8, transformer_decoder=DECODER)


def build(segmentor="mmmaskformer.MaskFormer", **head):
    cfg = ConfigDict(
        type=segmentor,
        data_preprocessor=dict(
            type="mmmaskformer.MaskFormerDataPreProcessor",
            mean=[123.675, 116.28, 103.53],
            std=[58.395, 57.12, 57.375],
            bgr_to_rgb=True,
            size_divisor=32,
            test_cfg=dict(size_divisor=32),
        ),
        backbone=dict(type="mmseg.ResNet", depth=18, norm_cfg=dict(type="BN")),
        decode_head={**SMALL, **(head if "type" in head else {**MASKFORMER, **head})},
        test_cfg=dict(mode="whole"),
    )
    torch.manual_seed(0)
    model = MODELS.build(cfg)
    if hasattr(model.decode_head.predictor, "mask_embed"):
        with torch.no_grad():
            model.decode_head.predictor.mask_embed.layers[-1].weight *= 20
    return model


def make_data(*sizes, labels=None):
    generator = torch.Generator().manual_seed(1)
    inputs, samples = [], []
    for index, (height, width) in enumerate(sizes):
        inputs.append(
            torch.randint(0, 256, (3, height, width), generator=generator, dtype=torch.uint8)
        )
        meta = dict(
            img_shape=(height, width), ori_shape=(height, width), img_path=f"image{index}.jpg"
        )
        sample = SegDataSample(metainfo=meta)
        if labels is None:
            data = torch.randint(0, CLASSES, (1, height, width), generator=generator)
        else:
            data = labels[index][None]
        sample.gt_sem_seg = PixelData(data=data)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def losses_of(model, data):
    data = model.data_preprocessor(copy.deepcopy(data), training=True)
    return model(**data, mode="loss")


@pytest.mark.parametrize("segmentor", ["mmseg.EncoderDecoder", "mmmaskformer.MaskFormer"])
def test_a_step_reaches_every_parameter(segmentor):
    model = build(segmentor).train()
    losses = losses_of(model, make_data((64, 96), (64, 96)))
    assert sorted(losses) == sorted(
        f"decode.{prefix}loss_{name}" for prefix in ("", "d0.") for name in ("cls", "mask", "dice")
    )
    total, _ = model.parse_losses(losses)
    total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("segmentor", ["mmseg.EncoderDecoder", "mmmaskformer.MaskFormer"])
@pytest.mark.parametrize("size", [(100, 130), (64, 64), (33, 1), (1, 200)])
def test_prediction_has_the_size_of_the_original(segmentor, size):
    """Stock mmseg removes padding twice: 100x130 comes back 72x100."""
    model = build(segmentor).eval()
    data = make_data(size)
    data["data_samples"][0].set_metainfo({"ori_shape": (57, 91)})
    (result,) = model.test_step(data)
    assert result.pred_sem_seg.data.shape == (1, 57, 91)
    assert result.seg_logits.data.shape == (CLASSES, 57, 91)
    torch.testing.assert_close(result.seg_logits.data.argmax(0), result.pred_sem_seg.data[0])


def test_scores_follow_the_definition():
    model = build().eval()
    data = make_data((100, 130))
    data["data_samples"][0].set_metainfo({"ori_shape": (150, 195)})
    (result,) = model.test_step(copy.deepcopy(data))
    batch = model.data_preprocessor(data, False)
    assert batch["inputs"].shape[-2:] == (128, 160)
    assert not batch["inputs"][:, :, 100:].any()
    with torch.no_grad():
        class_logits, mask_logits = model(batch["inputs"], mode="tensor")
    masks = F.interpolate(mask_logits, (128, 160), mode="bilinear", align_corners=False)
    scores = torch.einsum("bqc,bqhw->bchw", class_logits.softmax(-1)[..., :-1], masks.sigmoid())
    scores = F.interpolate(
        scores[..., :100, :130], (150, 195), mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(result.seg_logits.data, scores[0], rtol=1e-4, atol=1e-5)


def test_panoptic_models_resize_logits_before_the_sigmoid():
    """A batch of two sizes, padded to the larger only, as the original tests COCO panoptic."""
    model = build(fusion=dict(resize_logits=True)).eval()
    model.data_preprocessor.test_cfg = dict(size_divisor=1)
    sizes, original = ((100, 95), (77, 130)), ((150, 141), (60, 100))
    data = make_data(*sizes)
    for sample, shape in zip(data["data_samples"], original, strict=True):
        sample.set_metainfo({"ori_shape": shape})
    batch = model.data_preprocessor(copy.deepcopy(data), False)
    assert batch["inputs"].shape[-2:] == (100, 130)
    with torch.no_grad():
        class_logits, mask_logits = model(batch["inputs"], mode="tensor")
    masks = F.interpolate(mask_logits, (100, 130), mode="bilinear", align_corners=False)
    for i, result in enumerate(model.test_step(data)):
        height, width = sizes[i]
        cut = masks[i : i + 1, :, :height, :width]
        resized = F.interpolate(cut, original[i], mode="bilinear", align_corners=False)[0]
        classes = class_logits[i].softmax(-1)[:, :-1]
        expected = torch.einsum("qc,qhw->chw", classes, resized.sigmoid())
        torch.testing.assert_close(result.seg_logits.data, expected, rtol=1e-4, atol=1e-5)


def test_batch_of_different_sizes_and_order():
    """Stock mmseg's result depends on the order of images: its padding mask is the first's."""
    model = build().eval()
    data = make_data((90, 120), (64, 70))
    forward = model.test_step(copy.deepcopy(data))
    backward = model.test_step({key: value[::-1] for key, value in copy.deepcopy(data).items()})
    for a, b in zip(forward, backward[::-1], strict=True):
        torch.testing.assert_close(a.seg_logits.data, b.seg_logits.data, rtol=1e-4, atol=1e-5)
    same = make_data((96, 128), (96, 128))
    together = model.test_step(copy.deepcopy(same))
    for i in range(2):
        (alone,) = model.test_step({k: v[i : i + 1] for k, v in copy.deepcopy(same).items()})
        torch.testing.assert_close(
            together[i].seg_logits.data, alone.seg_logits.data, rtol=1e-4, atol=1e-5
        )


def test_labels_only():
    model = build().eval()
    data = make_data((70, 90))
    (full,) = model.test_step(copy.deepcopy(data))
    model.test_cfg["labels_only"] = True
    (labels,) = model.test_step(copy.deepcopy(data))
    assert "seg_logits" not in labels
    assert torch.equal(labels.pred_sem_seg.data, full.pred_sem_seg.data)


@pytest.mark.parametrize("segmentor", ["mmseg.EncoderDecoder", "mmmaskformer.MaskFormer"])
def test_sliding_window_averages_the_windows(segmentor):
    model = build(segmentor).eval()
    model.test_cfg = ConfigDict(mode="slide", crop_size=(64, 64), stride=(64, 32))
    data = make_data((64, 96))
    (result,) = model.test_step(copy.deepcopy(data))
    image = model.data_preprocessor(data, False)["inputs"]
    expected, count = torch.zeros(CLASSES, 64, 96), torch.zeros(64, 96)
    for left in (0, 32):
        with torch.no_grad():
            features = model.extract_feat(image[..., left : left + 64])
            expected[..., left : left + 64] += model.decode_head.scores(features, (64, 64))[0]
        count[:, left : left + 64] += 1
    torch.testing.assert_close(result.seg_logits.data, expected / count, rtol=1e-4, atol=1e-5)
    if segmentor == "mmmaskformer.MaskFormer":
        model.test_cfg["labels_only"] = True
        (labels,) = model.test_step(make_data((64, 96)))
        assert "seg_logits" not in labels
        assert torch.equal(labels.pred_sem_seg.data, result.pred_sem_seg.data)


def test_prediction_without_samples():
    model = build().eval()
    with torch.no_grad():
        (result,) = model(torch.randn(1, 3, 64, 96), mode="predict")
    assert result.pred_sem_seg.data.shape == (1, 64, 96)


def test_tta_of_sliding_windows_is_refused():
    model = build().eval()
    model.test_cfg = ConfigDict(mode="slide", crop_size=(64, 64), stride=(64, 32))
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model))
    with pytest.raises(ValueError, match="mode 'whole'"):
        tta.test_step({key: [value] for key, value in make_data((64, 64)).items()})


@pytest.mark.parametrize("segmentor", ["mmseg.EncoderDecoder", "mmmaskformer.MaskFormer"])
def test_tta_is_the_mean_of_raw_scores(segmentor):
    """Stock mmseg takes a softmax of the sums of probabilities first."""
    model = build(segmentor).eval()
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model)).eval()
    views = [make_data((64, 80), (70, 90)), make_data((96, 120), (84, 108))]
    views[1]["inputs"] = [image.flip(-1) for image in views[1]["inputs"]]
    for view in views:
        for sample in view["data_samples"]:
            sample.set_metainfo({"ori_shape": (100, 125)})
    plain = [[r.seg_logits.data for r in model.test_step(copy.deepcopy(v))] for v in views]
    for sample in views[1]["data_samples"]:
        sample.set_metainfo({"flip": True, "flip_direction": "horizontal"})
    results = tta.test_step({key: [view[key] for view in views] for key in views[0]})
    for index, result in enumerate(results):
        expected = (plain[0][index] + plain[1][index].flip(-1)) / 2
        torch.testing.assert_close(result.seg_logits.data, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(result.pred_sem_seg.data[0], result.seg_logits.data.argmax(0))
        assert "gt_sem_seg" in result
        assert result.metainfo["img_path"] == f"image{index}.jpg"


def test_levels_and_ignored_label_come_from_the_config():
    head = build(in_index=[1, 2, 3], in_channels=[128, 256, 512], ignore_index=4).decode_head
    features = [torch.randn(1, c, 32 // s, 32 // s) for c, s in ((64, 1), (128, 2), (256, 4))]
    features.append(torch.randn(1, 512, 4, 4))
    assert head.factors(features).pixels.shape[-2:] == (16, 16)
    sample = SegDataSample()
    sample.gt_sem_seg = PixelData(data=torch.full((1, 64, 64), 4))
    assert head.loss(features, [sample], {})["loss_mask"] == 0


@pytest.mark.parametrize("value", [255, 3])
def test_ignored_image_and_single_pixel_train(value):
    labels = [torch.full((64, 64), 255), torch.full((64, 64), 255)]
    labels[0][10, 20] = value
    losses = losses_of(build().train(), make_data((64, 64), (64, 64), labels=labels))
    total = sum(losses.values())
    total.backward()
    assert total.isfinite()
    assert (losses["decode.loss_mask"] > 0) == (value == 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_gives_finite_losses_close_to_float32(dtype):
    model = build().train()
    data = make_data((64, 96), (64, 96))
    state = copy.deepcopy(model.state_dict())
    expected = losses_of(model, data)
    model.load_state_dict(state)
    with torch.autocast("cpu", dtype):
        losses = losses_of(model, data)
    sum(losses.values()).backward()
    for name, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name], rtol=0.1, atol=0.05)


def test_parts_are_swappable_from_config():
    head = build(
        transformer_decoder=dict(num_layers=1, self_attention=False),
        loss_cls=dict(no_object_weight=0.4),
        loss_mask=dict(type="mmmaskformer.FocalLoss", loss_weight=5.0, gamma=1.0),
        assigner=dict(match_costs=[dict(type="ClassificationCost", weight=2.0)]),
        loss_dice=dict(smooth=2.0),
        mask_loss_kernel="eager",
        deep_supervision=False,
        project_memory=True,
        fusion=dict(type="mmmaskformer.SemanticFusion"),
    ).decode_head
    assert head.criterion.loss_dice.smooth == 2.0
    assert head.criterion.mask_loss_kernel == "eager"
    assert not head.predictor.deep_supervision
    assert isinstance(head.predictor.memory_proj, torch.nn.Conv2d)
    assert head.predictor.pixel_decoder.mask_features.in_channels == 32
    assert head.criterion.loss_cls.no_object_weight == 0.4
    assert (head.criterion.loss_mask.loss_weight, head.criterion.loss_mask.gamma) == (5.0, 1.0)
    assert [cost.weight for cost in head.criterion.assigner.match_costs] == [2.0]
    assert not head.predictor.transformer_decoder.layers[0].self_attention


def test_fixed_matching_from_config():
    model = build(assigner=dict(type="FixedAssigner"))
    data = make_data((64, 96), labels=[torch.full((64, 96), 4)])
    losses = losses_of(model.train(), data)
    output = model.decode_head.factors(model.extract_feat(model.data_preprocessor(data)["inputs"]))
    classes = torch.full((8,), CLASSES)
    classes[4] = 4
    expected = model.decode_head.criterion.loss_cls(output.class_logits[-1, 0], classes)
    torch.testing.assert_close(losses["decode.loss_cls"], expected)


def test_config_of_the_caller_is_not_written_to():
    decoder = dict(num_layers=1)
    build(pixel_decoder=(cfg := dict(norm_groups=8)), transformer_decoder=decoder)
    assert cfg == dict(norm_groups=8)
    assert decoder == dict(num_layers=1)


WINDOWS = dict(mode="slide", crop_size=(64, 64), stride=(32, 32))


@pytest.mark.parametrize("mode", [dict(mode="whole"), WINDOWS])
def test_one_class(mode):
    model = build(num_classes=1, isthing=[True])
    data = make_data((64, 64), labels=[torch.where(torch.rand(64, 64) > 0.5, 0, 255)])
    assert torch.stack(list(losses_of(model, data).values())).isfinite().all()
    model.test_cfg = ConfigDict(mode)
    (sample,) = model.eval().test_step(make_data((64, 96)))
    assert sample.pred_sem_seg.data.unique().tolist() == [0]
    assert sample.seg_logits.data.shape == (1, 64, 96)


def test_processes_exchange_their_numbers_of_segments_while_the_network_runs(monkeypatch):
    """By the number that comes back the mask losses are divided."""
    model, data = build().train(), make_data((64, 64), (64, 64))
    torch.manual_seed(1)
    alone, events = losses_of(model, data), []

    def start(targets, device):
        events.append("started")
        count = sum(target.num_segments for target in targets)
        return lambda: events.append("awaited") or torch.tensor(4.0 * count)

    monkeypatch.setattr(maskformer_head, "start_mean_segments", start)
    decoder = model.decode_head.predictor.pixel_decoder
    decoder.register_forward_pre_hook(lambda *_: events.append("network"))
    torch.manual_seed(1)
    found = losses_of(model, data)
    assert events == ["started", "network", "awaited"]
    for name in ("decode.loss_mask", "decode.d0.loss_dice"):
        torch.testing.assert_close(4 * found[name], alone[name])
