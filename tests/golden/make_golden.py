"""Small seeded outputs of every stage, written to `stages.json`:

    python -m tests.golden.make_golden

Run it only to accept a change of numbers that was meant.
"""

import json
from pathlib import Path

import mmmaskformer  # noqa: F401  # isort: skip  (mends the stack before mmseg is imported)
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

from mmmaskformer import core
from mmmaskformer.registry import MODELS

FILE = Path(__file__).with_name("stages.json")
CLASSES, SIZE, ORIGINAL = 5, (62, 90), (40, 70)
DECODER = dict(num_layers=2, num_heads=2, feedforward_channels=32, dropout=0.0)
ENCODER = dict(
    type="TransformerEncoderPixelDecoder",
    num_layers=1,
    num_heads=2,
    feedforward_channels=32,
    dropout=0.0,
    norm_groups=4,
)
RESNET = dict(type="mmseg.ResNet", depth=18, base_channels=8, norm_cfg=dict(type="BN"))
DEEP = dict(
    type="mmseg.ResNetV1c",
    depth=50,
    base_channels=4,
    stem_channels=8,
    multi_grid=(1, 2, 4),
    norm_cfg=dict(type="BN"),
)
SWIN = dict(
    type="mmseg.SwinTransformer",
    embed_dims=8,
    depths=(2, 2, 2, 2),
    num_heads=(1, 2, 2, 4),
    drop_path_rate=0.0,
)
FPN = dict(norm_groups=4)
HEADS = {
    "maskformer_r18": (RESNET, dict(type="MaskFormerHead", num_queries=6)),
    "maskformer_r50c": (DEEP, dict(type="MaskFormerHead", num_queries=6)),
    "maskformer_swin": (SWIN, dict(type="MaskFormerHead", num_queries=6)),
    "maskformer_r18_encoder": (
        RESNET,
        dict(
            type="MaskFormerHead",
            num_queries=6,
            pixel_decoder=ENCODER,
            fusion=dict(resize_logits=True),
        ),
    ),
    "perpixel_r18": (RESNET, dict(type="PerPixelBaselineHead")),
    "perpixelplus_r18": (RESNET, dict(type="PerPixelBaselinePlusHead")),
}
IN_CHANNELS = {id(RESNET): [8, 16, 32, 64], id(DEEP): [16, 32, 64, 128], id(SWIN): [8, 16, 32, 64]}


def build(name):
    """A small model with every weight drawn anew, so that no default of torch matters."""
    register_all_modules(init_default_scope=False)
    backbone, head = HEADS[name]
    cfg = dict(in_channels=IN_CHANNELS[id(backbone)], num_classes=CLASSES, channels=16)
    cfg.update(mask_channels=12, pixel_decoder=FPN)
    if head["type"] != "PerPixelBaselineHead":
        cfg["transformer_decoder"] = DECODER
    cfg.update(head, type=f"mmmaskformer.{head['type']}")
    model = MODELS.build(
        dict(
            type="mmmaskformer.MaskFormer",
            data_preprocessor=dict(
                type="mmmaskformer.MaskFormerDataPreProcessor",
                mean=[123.675, 116.28, 103.53],
                std=[58.395, 57.12, 57.375],
                bgr_to_rgb=True,
                size_divisor=32,
                test_cfg=dict(size_divisor=32),
            ),
            backbone=backbone,
            decode_head=cfg,
        )
    )
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim > 1:
                tensor.copy_(noise * (2 / tensor[0].numel()) ** 0.5)
            elif key.endswith(("weight", "running_var")):
                tensor.copy_(1 + 0.1 * noise)
            else:
                tensor.copy_(0.1 * noise)
    return model


def make_data():
    generator = torch.Generator().manual_seed(2)
    inputs, samples = [], []
    for index in range(2):
        image = torch.randint(0, 256, (3, *SIZE), generator=generator, dtype=torch.uint8)
        coarse = torch.randint(0, CLASSES, (1, 4, 5), generator=generator)
        labels = coarse.repeat_interleave(16, 1).repeat_interleave(18, 2)[:, : SIZE[0], : SIZE[1]]
        labels = labels.clone()
        labels[:, :7] = 255
        sample = SegDataSample(
            metainfo=dict(img_shape=SIZE, ori_shape=ORIGINAL, img_path=f"image{index}")
        )
        sample.gt_sem_seg = PixelData(data=labels)
        inputs.append(image)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


def sparse(tensor, count=24):
    """About `count` values, spread over the tensor."""
    flat = tensor.detach().flatten()
    return [float(f"{v:.7g}") for v in flat[:: max(1, len(flat) // count)].tolist()]


def stages(name):
    """Every stage's values, by name: lists of floats."""
    model = build(name).eval()
    head = model.decode_head
    result = {}
    with torch.no_grad():
        batch = model.data_preprocessor(make_data(), False)
        features = model.extract_feat(batch["inputs"])
        every = {} if name.startswith("perpixel_") else dict(all_layers=True)
        output = head.predictor(features, **every)
        for level, feature in enumerate(features):
            result[f"features_{level}"] = sparse(feature)
        if isinstance(output, torch.Tensor):
            result["logits"] = sparse(output, 60)
        else:
            result["pixel_embed"] = sparse(core.pixel_embedding(output.pixels))
            result["class_logits"] = sparse(output.class_logits, 60)
            for layer in range(output.num_layers):
                result[f"mask_logits_{layer}"] = sparse(core.layer_mask_logits(output, layer))
        for index, sample in enumerate(model.test_step(make_data())):
            result[f"scores_{index}"] = sparse(sample.seg_logits.data, 60)
    model.train()
    losses = model(**model.data_preprocessor(make_data(), True), mode="loss")
    result.update({key: [float(f"{v.item():.7g}")] for key, v in losses.items()})
    total, _ = model.parse_losses(losses)
    total.backward()
    norms = torch.stack([p.grad.norm() for p in model.parameters()])
    result["gradient_norms"] = sparse(norms, 60)
    return result


if __name__ == "__main__":
    values = {name: stages(name) for name in HEADS}
    FILE.write_text(json.dumps(values, indent=0).replace(",\n", ", "))
    print(f"wrote {FILE}, {FILE.stat().st_size} bytes")
