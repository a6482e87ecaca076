"""Outputs of mmseg's and mmdet's MaskFormer with random weights, and their checkpoints.

On images without padding: where there is padding, theirs mask it by the first image's size.
"""

import re
from pathlib import Path

import mmdet
import mmseg
import pytest
import torch
from mmdet.registry import MODELS as DET_MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules as register_mmdet
from mmengine.config import Config
from mmseg.registry import MODELS as SEG_MODELS
from mmseg.structures import SegDataSample

from mmmaskformer import core
from mmmaskformer.checkpoints.conversion import convert_checked, read_weights, write_checkpoint
from tests.seg.reference import assert_near, build_config

pytestmark = pytest.mark.slow

CONFIGS = {
    "mmseg-r50": (mmseg, "maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py"),
    "mmdet-r50": (mmdet, "maskformer/maskformer_r50_ms-16xb1-75e_coco.py"),
    "mmdet-swin-t": (mmdet, "maskformer/maskformer_swin-l-p4-w12_64xb1-ms-300e_coco.py"),
}
OURS = {
    "mmseg-r50": "maskformer_r50_ade20k",
    "mmdet-r50": "maskformer_r50_coco-panoptic",
    "mmdet-swin-t": "maskformer_swin-t_coco-panoptic",
}
SWIN_T = dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), window_size=7)


def build_theirs(name):
    library, path = CONFIGS[name]
    register_mmdet(init_default_scope=False)
    cfg = Config.fromfile(Path(library.__file__).parent / ".mim/configs" / path)
    cfg.model.backbone.init_cfg = None
    if cfg.model.backbone.type == "ResNet":
        cfg.model.backbone.norm_cfg.type = "BN"  # SyncBN needs a GPU
    else:  # there is no config of the small one
        cfg.model.backbone.update(SWIN_T, pretrain_img_size=224)
        cfg.model.panoptic_head.in_channels = [96, 192, 384, 768]
    registry = SEG_MODELS if library is mmseg else DET_MODELS
    cfg.model._scope_ = library.__name__
    torch.manual_seed(0)
    model = registry.build(cfg.model).eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if tensor.ndim == 1 and tensor.is_floating_point():
                noise = 0.2 * torch.randn(tensor.shape)
                ones = key.endswith(("weight", "running_var"))
                tensor.copy_(1 + noise if ones else noise)
    return model


def outputs_of(model, inputs):
    """Class and mask logits of every decoder layer."""
    size = tuple(inputs.shape[-2:])
    meta = dict(img_shape=size, pad_shape=size, ori_shape=size, batch_input_shape=size)
    detector = hasattr(model, "panoptic_head")
    sample = DetDataSample if detector else SegDataSample
    head = model.panoptic_head if detector else model.decode_head
    samples = [sample(metainfo=meta) for _ in inputs]
    return head(model.extract_feat(inputs), samples)


def old_name(name):
    """What mmdet 2 called a weight of mmdet 3."""
    name = re.sub(r"\.self_attn\.attn", ".attentions.0.attn", name)
    name = re.sub(r"\.cross_attn\.attn", ".attentions.1.attn", name)
    return re.sub(r"\.ffn\.layers", ".ffns.0.layers", name)


@pytest.mark.parametrize("name", CONFIGS)
def test_same_outputs(name, tmp_path):
    theirs = build_theirs(name)
    torch.save(dict(meta={}, state_dict=theirs.state_dict()), tmp_path / "theirs.pth")
    report = convert_checked(read_weights(tmp_path / "theirs.pth")[0])
    assert not report.conversion.unused
    write_checkpoint(report.conversion.state_dict, tmp_path / "ours.pth", {})
    ours = build_config(OURS[name], tmp_path / "ours.pth")
    inputs = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        class_logits, mask_logits = outputs_of(theirs, inputs)
        features = ours.extract_feat(inputs)
        output = ours.decode_head.predictor(features, all_layers=True)
    for layer in range(6):
        assert_near(output.class_logits[layer], class_logits[layer])
        assert_near(core.layer_mask_logits(output, layer), mask_logits[layer])


def test_layer_names_of_mmdet_2():
    shapes = {n: t.to("meta") for n, t in build_theirs("mmdet-r50").state_dict().items()}
    new = convert_checked(shapes).conversion.state_dict
    old = convert_checked({old_name(n): t for n, t in shapes.items()}).conversion.state_dict
    assert len({old_name(n) for n in shapes} - set(shapes)) == 6 * 3 * 4 + 6 * 2 * 4
    assert {n: t.shape for n, t in old.items()} == {n: t.shape for n, t in new.items()}
