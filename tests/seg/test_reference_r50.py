"""The whole R50 model against numbers of the original implementation (random weights)."""

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
    original_loss_name,
    our_name,
)


@pytest.fixture(scope="module")
def reference():
    return load("maskformer_R50_ade20k")


@pytest.fixture(scope="module")
def model(reference, tmp_path_factory):
    checkpoint = converted(tmp_path_factory.mktemp("r50"), reference)
    # The reference was trained without dropout.
    options = {"model.decode_head.transformer_decoder.dropout": 0.0}
    return build_config("maskformer_r50_ade20k", checkpoint, **options)


def data_of(reference, indices=(0, 1)):
    return make_data(reference["images_rgb_uint8"], reference["output_sizes"], indices)


def test_every_stage_of_a_batch_of_two(reference, model):
    model.eval()
    expected = reference["eval_batch_of_two"]
    batch = model.data_preprocessor(data_of(reference), False)
    with torch.no_grad():
        features = model.extract_feat(batch["inputs"])
        output = model.decode_head.predictor(features, all_layers=True)
    for level, (feature, stride) in enumerate(zip(features, (4, 4, 2, 1), strict=True), 2):
        key = f"features_res{level}" + ("_strided" if stride > 1 else "")
        assert_near(feature[..., ::stride, ::stride], expected[key])
    assert_near(
        core.pixel_embedding(output.pixels)[..., ::4, ::4], expected["mask_features_strided"]
    )
    assert_near(output.class_logits, expected["pred_logits"])
    masks = torch.stack(
        [core.layer_mask_logits(output, layer)[..., ::4, ::4] for layer in range(6)]
    )
    assert_near(masks, expected["pred_masks_strided"])
    for i, result in enumerate(model.test_step(data_of(reference))):
        assert_near(result.seg_logits.data[:, ::4, ::4], expected["sem_seg_strided"][i])
        assert_same_labels(result.pred_sem_seg.data[0], expected["sem_seg_argmax"][i])


@pytest.mark.parametrize("image", [0, 1])
def test_single_images(reference, model, image):
    (result,) = model.eval().test_step(data_of(reference, [image]))
    assert_same_labels(result.pred_sem_seg.data[0], reference["eval_single_argmax"][image])


def test_training_losses_and_gradients(reference, model):
    train = reference["train"]["end_to_end"]
    model.train().zero_grad()
    batch = model.data_preprocessor(data_of(reference), False)
    height, width = batch["inputs"].shape[-2:]
    for sample, labels in zip(batch["data_samples"], reference["train"]["sem_seg_gt"], strict=True):
        padded = torch.full((1, height, width), 255)
        padded[0, : labels.shape[0], : labels.shape[1]] = labels
        sample.gt_sem_seg = PixelData(data=padded)
    losses = model.loss(**batch)
    for name, value in losses.items():
        expected = train["losses_as_returned_by_model"][original_loss_name(name)]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=name)
    sum(losses.values()).backward()
    grads = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.requires_grad}
    norms = {our_name(name): norm for name, norm in train["param_grad_norm"].items()}
    assert set(grads) == set(norms)
    largest = max(norms.values())
    for name, norm in norms.items():
        assert grads[name] == pytest.approx(norm, rel=2e-3, abs=1e-6 * largest), name
