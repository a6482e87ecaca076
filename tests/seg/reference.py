"""Models with the reference's seeded weights, the way a user gets them: a file of the original
format through the converter into a config's model."""

import pickle
import re

import torch
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

from mmmaskformer.checkpoints.conversion import convert_checked, read_weights, write_checkpoint
from tests.conftest import ROOT
from tests.reference import seeded_weights


def build_config(name, checkpoint, **options):
    """The model of a config without pretrained backbone, with a checkpoint's weights."""
    register_all_modules()
    cfg = Config.fromfile(ROOT / "configs" / f"{name}.py")
    cfg.model.backbone.init_cfg = None
    cfg.merge_from_dict(options)
    model = MODELS.build(cfg.model)
    load_checkpoint(model, str(checkpoint), map_location="cpu", strict=True)
    return model.eval()


def converted(folder, reference):
    """A checkpoint of ours from the reference's weights, by way of a file as released."""
    arrays = {
        name.replace("sem_seg_head.pixel_decoder.", "sem_seg_head."): tensor.numpy()
        for name, tensor in seeded_weights(reference).items()
    }
    source, target = folder / "model_final.pkl", folder / "converted.pth"
    source.write_bytes(pickle.dumps({"model": arrays, "__author__": "test"}))
    write_checkpoint(convert_checked(read_weights(source)[0]).conversion.state_dict, target, {})
    return target


def make_data(images, output_sizes, indices):
    """Inputs as mmseg's pipeline packs them: BGR, uint8, each of its own size."""
    inputs, samples = [], []
    for i in indices:
        meta = dict(
            img_shape=tuple(images[i].shape[1:]),
            ori_shape=tuple(output_sizes[i]),
            img_path=f"image{i}",
        )
        inputs.append(images[i][[2, 1, 0]])
        samples.append(SegDataSample(metainfo=meta))
    return dict(inputs=inputs, data_samples=samples)


def assert_near(ours, expected, tolerance=1e-4):
    """Within `tolerance` of the largest value expected, of a whole tensor or a thinned one."""
    if torch.is_tensor(expected):
        largest = expected.abs().max().item()
    else:
        assert list(ours.shape) == expected["shape"]
        ours = ours.flatten()[:: expected["step"]]
        expected, largest = expected["values"], expected["largest"]
    torch.testing.assert_close(ours, expected, rtol=0, atol=tolerance * largest)


def assert_same_labels(ours, expected):
    """Equal but for a tie or two that the order of float32 sums decides."""
    assert (ours != expected).float().mean().item() < 1e-4


def our_name(name):
    """Our name of an original's parameter."""
    from mmmaskformer.checkpoints.naming import recognise

    return recognise([name, "sem_seg_head."])[0].rename(name)


def original_loss_name(name):
    """The original's name of one of our losses: decode.d0.loss_cls is its loss_ce_0."""
    layer, kind = re.fullmatch(r"decode\.(?:d(\d)\.)?loss_(\w+)", name).groups()
    theirs = {"cls": "ce", "mask": "mask", "dice": "dice"}[kind]
    return f"loss_{theirs}" + ("" if layer is None else f"_{layer}")
