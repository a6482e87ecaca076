"""Models with random weights that are sure of what they see."""

import torch

from mmmaskformer.core.folded_masks import pixel_embedding
from mmmaskformer.zoo import load

SMALL = "maskformer_r18_shapes-panoptic"


@torch.no_grad()
def confident_model(seed=1):
    """A model whose queries differ in class and place, and exceed the thresholds.

    Untrained queries are alike. Here what they share, seen on an image of noise, is subtracted
    from the class logits, mask embeddings and pixels, and what is left is made large. Images are
    resized, which the data of shapes does not need.
    """
    torch.manual_seed(seed)
    model = load(SMALL, "random", device="cpu")
    head = model.decode_head
    predictor = head.predictor
    predictor.query_embed.weight.mul_(8)  # so that each attends to places of its own
    noise = torch.nn.functional.interpolate(torch.randn(1, 3, 16, 16), 256, mode="bicubic")
    decoded, pixels = predictor.decode(head.select(model.extract_feat(noise)), None)
    spread(predictor.class_embed, predictor.class_embed(decoded[0, 0]), 4)
    spread(predictor.mask_embed.layers[-1], predictor.mask_embed(decoded)[0, 0], 1)
    grid = pixel_embedding(pixels)[0].flatten(1).T
    spread(predictor.pixel_decoder.mask_features, grid, 4 / grid.shape[1] ** 0.5)
    predictor.class_embed.bias[-1] -= 2
    resize = dict(type="Resize", scale=(400, 300), keep_ratio=True, backend="pillow")
    for pipeline in (model.cfg.test_dataloader.dataset.pipeline, model.cfg.test_pipeline):
        pipeline.insert(1, resize)
    head.panoptic_fusion.overlap_threshold = 0.1
    head.panoptic_fusion.object_threshold = 0.4
    return model


def spread(layer, outputs, scale):
    """Let a linear layer give what it gives, (N, channels), with mean 0 and deviation `scale`."""
    mean, factor = outputs.mean(0), scale / outputs.std(0).clamp(min=1e-6)
    layer.bias.copy_((layer.bias - mean) * factor)
    layer.weight.mul_(factor.reshape(-1, *[1] * (layer.weight.ndim - 1)))
