"""Small models with random weights, whose answers differ from pixel to pixel and class to class."""

import cv2
import numpy as np
import torch

from mmmaskformer import load

PANOPTIC, SEMANTIC, UPERNET = (
    "maskformer_r18_shapes-panoptic",
    "maskformer_r18_shapes",
    "upernet_r18_shapes",
)


def blots(size, seed=1):
    """A smooth picture (H, W, 3) of random colours."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def stretch(model, layer, gain):
    """Let what a layer gives vary around 0, more than random weights would."""
    seen = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    image = torch.from_numpy(blots((128, 128))).permute(2, 0, 1)
    model.test_step({"inputs": [image], "data_samples": [sample((128, 128))]})
    hook.remove()
    inputs = seen[-1].movedim(1, -1) if layer.weight.ndim == 4 else seen[-1]
    layer.weight.mul_(gain)
    weight = layer.weight.flatten(2).sum(2) if layer.weight.ndim == 4 else layer.weight
    layer.bias.copy_(-weight @ inputs.flatten(0, -2).mean(0))


def sample(size):
    from mmseg.structures import SegDataSample

    return SegDataSample(metainfo=dict(ori_shape=size, img_shape=size))


@torch.no_grad()
def make_checkpoint(name, folder):
    """A checkpoint of a config."""
    torch.manual_seed(5)
    model = load(name, "random")
    if name == UPERNET:
        stretch(model, model.decode_head.conv_seg, 20)
    else:
        predictor = model.decode_head.predictor
        predictor.query_embed.weight.mul_(5)
        stretch(model, predictor.class_embed, 60)
        stretch(model, predictor.mask_embed.layers[0], 8)
        stretch(model, predictor.mask_embed.layers[-1], 30)
        stretch(model, predictor.pixel_decoder.mask_features, 3)
    path = folder / f"{name}.pth"
    meta = dict(dataset_meta=dict(model.dataset_meta))
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path
