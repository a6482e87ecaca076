"""What the data preprocessor adds to mmseg's: notes on labels, and the layout of images."""

import pytest
import torch

from mmmaskformer.registry import MODELS
from tests.seg.test_segmentor import CLASSES, build, make_data


def test_a_training_step_copies_to_the_host_once(monkeypatch):
    model = build().train()
    data = model.data_preprocessor(make_data((64, 64), (64, 64)), training=True)
    copies = []
    cpu = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda t, *a: copies.append(t.shape) or cpu(t, *a))
    noted = model.loss(**data)
    assert len(copies) == 1
    for sample in data["data_samples"]:
        assert sample.metainfo["label_values"] == tuple(range(CLASSES))
        sample.set_metainfo(dict(label_values=None))
    found = model.loss(**data)
    assert len(copies) == 3
    torch.testing.assert_close(found, noted)


def preprocess(labels, **options):
    """The labels of a training batch, and the notes."""
    cfg = dict(type="mmmaskformer.MaskFormerDataPreProcessor", size_divisor=1, **options)
    data = make_data(*(image.shape for image in labels), labels=labels)
    samples = MODELS.build(cfg)(data, training=True)["data_samples"]
    return [s.gt_sem_seg.data for s in samples], [s.metainfo.get("label_values") for s in samples]


def test_padding_is_noted():
    labels, notes = preprocess([torch.zeros(4, 4).long(), torch.ones(2, 4).long()], seg_pad_val=9)
    assert notes == [(0,), (1, 9)]
    assert [tuple(image.unique().tolist()) for image in labels] == notes


@pytest.mark.parametrize("bad", [torch.tensor([[0, -1]]), torch.tensor([[0.5, 1.0]])])
def test_labels_that_can_not_be_noted(bad):
    assert preprocess([bad])[1] == [None]
    model = build().train()
    data = make_data((64, 64), labels=[torch.full((64, 64), 2)])
    data = model.data_preprocessor(data, training=True)
    data["data_samples"][0].gt_sem_seg.data[:] = -1
    data = model.data_preprocessor(
        dict(inputs=list(data["inputs"]), data_samples=data["data_samples"]), training=True
    )
    with pytest.raises(ValueError, match=r"image0\.jpg: label values \[-1\]"):
        model.loss(**data)


def test_a_batch_with_a_sample_without_notes():
    model = build().train()
    data = model.data_preprocessor(make_data((64, 64), (64, 64)), training=True)
    expected = model.loss(**data)
    data["data_samples"][1].set_metainfo(dict(label_values=None))
    torch.testing.assert_close(model.loss(**data), expected)


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
