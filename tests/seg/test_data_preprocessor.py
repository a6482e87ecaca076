"""What the data preprocessor adds to mmseg's: segments, and the layout of images."""

import copy

import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData

from mmmaskformer.core import NO_SEGMENT
from mmmaskformer.registry import MODELS
from tests.seg.test_segmentor import CLASSES, build, losses_of, make_data

HEADS = {
    "maskformer": {},
    "perpixel": dict(type="mmmaskformer.PerPixelBaselineHead", num_classes=CLASSES),
}


@pytest.fixture(params=HEADS)
def model(request):
    return build(**HEADS[request.param]).train()


def prepared(model, labels):
    data = make_data(*(image.shape for image in labels), labels=labels)
    return model.data_preprocessor(data, training=True)


def labels_of_two():
    labels = [torch.randint(0, CLASSES, size) for size in ((64, 64), (40, 64))]
    labels[0][:30] = 255
    return labels


def test_segments_are_made_on_the_host_and_padded(model):
    labels = labels_of_two()
    for sample, image in zip(prepared(model, labels)["data_samples"], labels, strict=True):
        target = sample.gt_segments.targets
        assert target.name == sample.img_path
        assert target.labels.tolist() == sorted({*image.unique().tolist()} - {255})
        padded = torch.full((64, 64), 255)
        padded[: len(image)] = image
        for label, mask in zip(target.labels, target.masks(), strict=True):
            assert torch.equal(mask, padded == label)


def test_a_step_asks_the_device_once(monkeypatch):
    """For the costs; the ground truth is known from the host."""
    model = build().train()
    data = prepared(model, labels_of_two())
    copies = []
    for name in ("cpu", "tolist", "item", "nonzero", "unique", "bincount", "__bool__", "__int__"):
        function = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor,
            name,
            lambda t, *a, function=function, **k: copies.append(1) or function(t, *a, **k),
        )
    targets = model.decode_head.segments.read(data["data_samples"])
    assert not copies
    features = model.extract_feat(data["inputs"])
    output = model.decode_head.factors(features)
    copies.clear()
    monkeypatch.undo()
    seen, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t, *a: seen.append(1) or cpu(t, *a))
    model.decode_head.criterion(output, targets)
    assert seen == [1]


def test_losses_are_those_of_heads_that_make_the_segments(model):
    """Behind mmseg's own data preprocessor, or a copy of the samples to another device."""
    labels = labels_of_two()
    data = make_data(*(image.shape for image in labels), labels=labels)
    expected = losses_of(model, data)
    stock = MODELS.build(
        dict(
            type="mmseg.SegDataPreProcessor",
            mean=model.data_preprocessor.mean.flatten().tolist(),
            std=model.data_preprocessor.std.flatten().tolist(),
            bgr_to_rgb=True,
            size_divisor=32,
            seg_pad_val=255,
        )
    )
    batch = stock(copy.deepcopy(data), training=True)
    assert "gt_segments" not in batch["data_samples"][0]
    torch.testing.assert_close(model(**batch, mode="loss"), expected)


def change_in_place(sample):
    sample.gt_sem_seg.data[:, :, 16:] = 3


def replace(sample):
    labels = torch.stack([torch.zeros(64, 16).long(), *[torch.full((64, 16), 3)] * 3], 1)
    sample.gt_sem_seg = PixelData(data=labels.flatten(1)[None])


def become_panoptic(sample):
    change_in_place(sample)
    classes, segment_map = sample.gt_sem_seg.data.unique(return_inverse=True)
    sample.gt_panoptic_seg = BaseDataElement(segment_map=segment_map.int(), labels=classes)


@pytest.mark.parametrize("change", [change_in_place, replace, become_panoptic])
def test_ground_truth_that_changes_afterwards_is_seen(model, change):
    """CutMix, pseudo-labels, a hook: what is noted is no longer believed."""
    data = prepared(model, [torch.zeros(64, 64).long()])
    change(data["data_samples"][0])
    (target,) = model.decode_head.segments.read(data["data_samples"])
    assert target.labels.tolist() == [0, 3]
    assert (target.segment_map[:, 16:] == 1).all()


def test_labels_that_are_cropped_afterwards_keep_their_size():
    """Those of a label map are not padded, although the metainfo tells another size."""
    model = build().train()
    samples = prepared(model, labels_of_two())["data_samples"]
    whole = samples[0].gt_sem_seg.data
    assert samples[0].metainfo["pad_shape"] == (64, 64)
    samples[0].gt_sem_seg = PixelData(data=whole[:, 16:48, 8:])
    first, second = model.decode_head.segments.read(samples)
    cropped = whole[0, 16:48, 8:]
    assert first.labels.tolist() == sorted({*cropped.unique().tolist()} - {255})
    for label, mask in zip(first.labels, first.masks(), strict=True):
        assert torch.equal(mask, cropped == label)
    assert second is samples[1].gt_segments.targets


def test_a_label_that_becomes_illegal_afterwards_is_refused(model):
    data = prepared(model, [torch.zeros(64, 64).long()])
    data["data_samples"][0].gt_sem_seg.data[:, :2] = 99
    with pytest.raises(ValueError, match=r"image0\.jpg: label values \[99\] are outside"):
        model(**data, mode="loss")


@pytest.mark.parametrize("bad", [-1, CLASSES])
def test_an_illegal_label_is_refused_on_the_host(model, bad):
    labels = labels_of_two()
    labels[1][3, 4] = bad
    with pytest.raises(ValueError, match=rf"image1\.jpg: label values \[{bad}\] are outside"):
        prepared(model, labels)


def test_a_label_map_of_fractions_is_refused(model):
    with pytest.raises(ValueError, match=r"image0\.jpg: expected a label map \(H, W\) of integers"):
        prepared(model, [torch.full((64, 64), 0.5)])


def test_a_sample_without_ground_truth_is_named(model):
    data = make_data((64, 64))
    del data["data_samples"][0].gt_sem_seg
    with pytest.raises(ValueError, match=r"image0\.jpg: the sample has no ground truth"):
        model.data_preprocessor(data, training=True)


@pytest.mark.parametrize("processor", ["mmmaskformer.MaskFormerDataPreProcessor",
                                       "mmseg.SegDataPreProcessor"])  # fmt: skip
def test_panoptic_truth_is_padded_with_no_segment(processor):
    model = build().train()
    model.data_preprocessor = MODELS.build(dict(type=processor, size_divisor=32))
    data = make_data((64, 64), (40, 50))
    for sample in data["data_samples"]:
        sample.gt_panoptic_seg = BaseDataElement(
            segment_map=torch.zeros(1, *sample.img_shape, dtype=torch.int32),
            labels=torch.tensor([4]),
        )
    samples = model.data_preprocessor(data, training=True)["data_samples"]
    _, target = model.decode_head.segments.read(samples)
    expected = torch.full((64, 64), NO_SEGMENT)
    expected[:40, :50] = 0
    assert torch.equal(target.segment_map.long(), expected)


def test_batch_augmentations_come_before_the_segments(model, monkeypatch):
    def paint(inputs, data_samples):
        for sample in data_samples:
            sample.gt_sem_seg.data[:] = 5
        return inputs, data_samples

    monkeypatch.setattr(model.data_preprocessor, "batch_augments", paint)
    data = prepared(model, labels_of_two())
    for target in model.decode_head.segments.read(data["data_samples"]):
        assert target.labels.tolist() == [5]
        assert not target.segment_map.any()


@pytest.mark.parametrize("training", [False, True])
def test_channels_last_is_a_layout_only(training):
    model = build().train(training)
    results = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        model.data_preprocessor.memory_format = memory_format
        data = model.data_preprocessor(make_data((64, 64), (64, 64)), training)
        assert data["inputs"].is_contiguous(memory_format=memory_format)
        levels = model.extract_feat(data["inputs"])
        assert all(level.is_contiguous(memory_format=memory_format) for level in levels)
        if training:
            results.append(torch.stack(list(model.loss(**data).values())[:-1]))
        else:
            results.append(model.predict(**data)[0].seg_logits.data)
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-4)


def test_channels_last_is_an_option_of_the_preprocessor():
    cfg = dict(type="mmmaskformer.MaskFormerDataPreProcessor", channels_last=True)
    inputs = MODELS.build(cfg)(make_data((32, 48)))["inputs"]
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_a_pipeline_that_packs_nothing_is_named(model):
    with pytest.raises(ValueError, match="ends with PackSegInputs or the like; it has img, img_pa"):
        model.data_preprocessor({"img": [], "img_path": []}, training=True)
