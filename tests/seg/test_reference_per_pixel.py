"""PerPixelBaseline R50 against numbers of the original implementation (random weights)."""

import pytest
import torch
from mmengine.structures import PixelData

from mmmaskformer import core
from tests.reference import load
from tests.seg.reference import (
    assert_near,
    assert_same_labels,
    build_config,
    converted,
    make_data,
    our_name,
)


@pytest.fixture(scope="module")
def reference():
    return load("per_pixel_baseline_R50_ade20k")


@pytest.fixture(scope="module")
def model(reference, tmp_path_factory):
    checkpoint = converted(tmp_path_factory.mktemp("per_pixel"), reference)
    return build_config("perpixel_r50_ade20k", checkpoint)


def data_of(reference, indices=(0, 1)):
    return make_data(reference["images_rgb_uint8"], reference["output_sizes"], indices)


def test_every_stage_of_a_batch_of_two(reference, model):
    expected = reference["eval_batch_of_two"]
    batch = model.eval().data_preprocessor(data_of(reference), False)
    with torch.no_grad():
        features = model.extract_feat(batch["inputs"])
        predictor = model.decode_head.predictor
        pixels, _ = predictor.pixel_decoder(features)
        logits = predictor(features)[0]
    for level, (feature, stride) in enumerate(zip(features, (4, 4, 2, 1), strict=True), 2):
        key = f"features_res{level}" + ("_strided" if stride > 1 else "")
        assert_near(feature[..., ::stride, ::stride], expected[key])
    assert_near(core.pixel_embedding(pixels)[..., ::4, ::4], expected["mask_features_strided"])
    assert_near(logits[..., ::4, ::4], expected["predictor_logits_strided"])
    for i, result in enumerate(model.test_step(data_of(reference))):
        assert_near(result.seg_logits.data[:, ::4, ::4], expected["sem_seg_strided"][i])
        assert_same_labels(result.pred_sem_seg.data[0], expected["sem_seg_argmax"][i])


@pytest.mark.parametrize("image", [0, 1])
def test_single_images(reference, model, image):
    (result,) = model.eval().test_step(data_of(reference, [image]))
    assert_same_labels(result.pred_sem_seg.data[0], reference["eval_single_argmax"][image])
    if image == 1:
        scores = result.seg_logits.data[:, ::4, ::4]
        assert_near(scores, reference["eval_single_1_sem_seg_strided"])


def test_training_loss_and_gradients(reference, model):
    train = reference["train"]
    model.train().zero_grad()
    height, width = train["padded_sem_seg_gt"][0].shape
    images = torch.full((2, 3, height, width), 128, dtype=torch.uint8)  # the original's padding
    for padded, image in zip(images, reference["images_rgb_uint8"], strict=True):
        padded[:, : image.shape[1], : image.shape[2]] = image
    data = make_data(images, [images.shape[-2:]] * 2, (0, 1))
    for sample, labels in zip(data["data_samples"], train["padded_sem_seg_gt"], strict=True):
        sample.gt_sem_seg = PixelData(data=labels[None].long())
    batch = model.data_preprocessor(data, True)
    losses = model.loss(**batch)
    loss = losses["decode.loss_ce"]
    torch.testing.assert_close(loss, train["end_to_end"]["total"], rtol=1e-5, atol=0)
    loss.backward()
    grads = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.requires_grad}
    norms = {our_name(name): n for name, n in train["end_to_end"]["param_grad_norm"].items()}
    assert set(grads) == set(norms)
    for name, norm in norms.items():
        assert grads[name] == pytest.approx(norm, rel=2e-3), name
