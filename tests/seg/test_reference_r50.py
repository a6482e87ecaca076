"""The whole R50 model against numbers of the original implementation (random weights)."""

import re
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

from tests.conftest import ROOT

RENAME = [
    (r"^backbone\.stem\.conv1\.norm", "backbone.bn1"),
    (r"^backbone\.stem\.", "backbone."),
    (r"^backbone\.res(\d)", lambda m: f"backbone.layer{int(m[1]) - 1}"),
    (r"(backbone.*)conv(\d)\.norm", r"\1bn\2"),
    (r"shortcut\.norm", "downsample.1"),
    (r"shortcut", "downsample.0"),
    (r"^sem_seg_head\.predictor\.", "decode_head.predictor."),
    (r"^sem_seg_head\.pixel_decoder", "decode_head.predictor.pixel_decoder"),
    (r"adapter_(\d)\.(?!norm)", lambda m: f"lateral_convs.{int(m[1]) - 1}.conv."),
    (r"adapter_(\d)\.norm", lambda m: f"lateral_convs.{int(m[1]) - 1}.norm"),
    (r"layer_(\d)\.(?!norm)", lambda m: f"output_convs.{int(m[1]) - 1}.conv."),
    (r"layer_(\d)\.norm", lambda m: f"output_convs.{int(m[1]) - 1}.norm"),
    (r"transformer\.decoder", "transformer_decoder"),
    (r"multihead_attn", "cross_attn"),
    (r"layers\.(\d)\.norm1", r"layers.\1.self_attn_norm"),
    (r"layers\.(\d)\.norm2", r"layers.\1.cross_attn_norm"),
    (r"layers\.(\d)\.norm3", r"layers.\1.ffn_norm"),
    (r"input_proj", "memory_proj"),
]


def our_name(name):
    for pattern, replacement in RENAME:
        name = re.sub(pattern, replacement, name)
    return name


@pytest.fixture(scope="module")
def reference(shared):
    return torch.load(shared / "reference/maskformer_R50_ade20k.pt", weights_only=True)


@pytest.fixture(scope="module")
def model(shared, reference):
    sys.path.insert(0, str(shared / "reference"))
    from weights import make_weights

    weights = make_weights(reference["draws"], reference["overrides"])
    weights.pop("criterion.empty_weight")
    register_all_modules()
    cfg = Config.fromfile(ROOT / "configs/maskformer_r50_ade20k.py")
    cfg.model.backbone.init_cfg = None
    cfg.model.decode_head.transformer_decoder.dropout = 0.0
    model = MODELS.build(cfg.model)
    missing = model.load_state_dict({our_name(k): v for k, v in weights.items()}, strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys)
    return model


def make_data(reference, indices=(0, 1)):
    inputs, samples = [], []
    for i in indices:
        image = reference["images_rgb_uint8"][i]
        meta = dict(
            img_shape=tuple(image.shape[1:]),
            ori_shape=tuple(reference["output_sizes"][i]),
            img_path=f"image{i}",
        )
        inputs.append(image[[2, 1, 0]])
        samples.append(SegDataSample(metainfo=meta))
    return dict(inputs=inputs, data_samples=samples)


def assert_near(ours, expected, tolerance=1e-4):
    scale = expected.abs().max().item()
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * scale)


def assert_same_labels(ours, expected):
    """Equal but for a tie or two that the order of float32 sums decides."""
    assert (ours != expected).float().mean().item() < 1e-4


def test_every_stage_of_a_batch_of_two(reference, model):
    model.eval()
    expected = reference["eval_batch_of_two"]
    batch = model.data_preprocessor(make_data(reference), False)
    with torch.no_grad():
        features = model.extract_feat(batch["inputs"])
        output = model.decode_head.predictor(features, all_layers=True)
    for level, (feature, stride) in enumerate(zip(features, (4, 4, 2, 1)), 2):
        key = f"features_res{level}" + ("_strided" if stride > 1 else "")
        assert_near(feature[..., ::stride, ::stride], expected[key])
    assert_near(output.pixel_embed[..., ::4, ::4], expected["mask_features_strided"])
    assert_near(output.class_logits, expected["pred_logits"])
    masks = torch.stack([output.mask_logits(layer)[..., ::4, ::4] for layer in range(6)])
    assert_near(masks, expected["pred_masks_strided"])
    for i, result in enumerate(model.test_step(make_data(reference))):
        assert_near(result.seg_logits.data[:, ::4, ::4], expected["sem_seg_strided"][i])
        assert_same_labels(result.pred_sem_seg.data[0], expected["sem_seg_argmax"][i])


@pytest.mark.parametrize("image", [0, 1])
def test_single_images(reference, model, image):
    (result,) = model.eval().test_step(make_data(reference, [image]))
    assert_same_labels(result.pred_sem_seg.data[0], reference["eval_single_argmax"][image])


def test_training_losses_and_gradients(reference, model):
    train = reference["train"]["end_to_end"]
    model.train().zero_grad()
    batch = model.data_preprocessor(make_data(reference), False)
    height, width = batch["inputs"].shape[-2:]
    for sample, labels in zip(batch["data_samples"], reference["train"]["sem_seg_gt"]):
        padded = torch.full((1, height, width), 255)
        padded[0, : labels.shape[0], : labels.shape[1]] = labels
        sample.gt_sem_seg = PixelData(data=padded)
    losses = model.loss(**batch)
    theirs = {"cls": "ce", "mask": "mask", "dice": "dice"}
    for name, value in losses.items():
        layer, kind = re.fullmatch(r"decode\.(?:d(\d)\.)?loss_(\w+)", name).groups()
        key = f"loss_{theirs[kind]}" + ("" if layer is None else f"_{layer}")
        expected = train["losses_as_returned_by_model"][key]
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=name)
    sum(losses.values()).backward()
    grads = {name: p.grad.norm().item() for name, p in model.named_parameters() if p.requires_grad}
    norms = {our_name(name): norm for name, norm in train["param_grad_norm"].items()}
    assert set(grads) == set(norms)
    largest = max(norms.values())
    for name, norm in norms.items():
        assert grads[name] == pytest.approx(norm, rel=2e-3, abs=1e-6 * largest), name
