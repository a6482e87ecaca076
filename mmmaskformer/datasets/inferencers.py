"""Single images in mmseg's and mmdet's inference functions, loaded as the config says.

Those look for steps of the literal names `LoadImageFromFile` and `LoadAnnotations`, write into the
config of the model, and take arrays as they are.
"""

from __future__ import annotations

import copy
import functools
import inspect
import os
import types
from collections.abc import Mapping

import numpy as np
from PIL import Image

from ..core.checks import check_number
from ..registry import TRANSFORMS
from .loading import LoadImageFromFile

OURS = ("mmmaskformer.LoadImageFromFile", LoadImageFromFile)
EIGHT_BITS = ("1", "L", "LA", "P", "RGB", "RGBA")
"""Pillow's modes that become RGB without a loss but that of alpha."""

CHANNELS = ((), (1,), (3,), (4,))
"""What may follow an array's height and width."""


def mend_inferencer(inferencer: type) -> None:
    """Let an inferencer of mmseg or mmdet find this package's loader, and load files with it."""
    plain = inferencer._init_pipeline

    @functools.wraps(plain)
    def _init_pipeline(self, cfg):
        cfg = copy.deepcopy(cfg)
        steps = cfg.test_dataloader.dataset.pipeline
        ours = [copy.deepcopy(step) for step in steps if step["type"] in OURS]
        for step in steps:
            if step["type"] in OURS:
                step["type"] = "LoadImageFromFile"
        pipeline = plain(self, cfg)
        for step in pipeline.transforms:
            if hasattr(step, "from_ndarray"):  # mmseg's and mmdet's InferencerLoader
                step.from_file = TRANSFORMS.build(ours[0]) if ours else step.from_file
                step.from_ndarray = checked(step.from_ndarray)
        return pipeline

    call = inferencer.__call__

    @functools.wraps(call)
    def __call__(self, inputs, *args, **kwargs):
        options = inspect.signature(call).bind(self, inputs, *args, **kwargs).arguments
        check_call(inputs, options)
        return call(self, inputs, *args, **kwargs)

    if not hasattr(plain, "__wrapped__"):
        inferencer._init_pipeline = _init_pipeline
        inferencer.__call__ = __call__


def check_call(inputs, options: Mapping) -> None:
    """Raise ValueError for a batch without images, and for pictures that would be written over
    the images that they are made of, under whose names they are written.

    Args:
        options: the inferencer's own, as far as they are given.
    """
    check_number("batch_size", options.get("batch_size", 1), 1, whole=True)
    if not options.get("out_dir"):
        return
    shown = os.path.realpath(os.path.join(options["out_dir"], options.get("img_out_dir", "vis")))
    for one in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
        if isinstance(one, (str, os.PathLike)):
            folder = one if os.path.isdir(one) else os.path.dirname(one)
            if os.path.realpath(folder) == shown:
                raise ValueError(
                    f"out_dir {options['out_dir']}: pictures would be written over the images of "
                    f"{folder}; name another folder"
                )


def mend_inference_model(inference: types.ModuleType) -> None:
    """Let `inference_model` leave the model's config as it was, so that it can be called again.

    Args:
        inference: the module `mmseg.apis.inference`.
    """
    plain = inference._preprare_data

    @functools.wraps(plain)
    def _preprare_data(imgs, model):
        several = isinstance(imgs, (list, tuple))
        images = [as_image(img) for img in (imgs if several else [imgs])]
        if not images:
            raise ValueError("the list of images is empty; wanted at least one")
        if len({isinstance(image, np.ndarray) for image in images}) > 1:
            raise ValueError("the list of images has paths and arrays; wanted only one of the two")
        kept = model.cfg.get("test_pipeline")
        try:
            model.cfg.test_pipeline = copy.deepcopy(
                kept or model.cfg.test_dataloader.dataset.pipeline
            )
            return plain(images if several else images[0], model)
        finally:
            model.cfg.test_pipeline = kept

    if not hasattr(plain, "__wrapped__"):
        inference._preprare_data = _preprare_data


def checked(load):
    """A loader of arrays that takes what `as_image` takes."""
    return lambda results: load({**results, "img": as_image(results["img"])})


def as_image(image):
    """A path as it is; a picture of pillow's, or an array in BGR order, as (H, W, 3) uint8 BGR.

    Grey pictures get three equal channels; alpha is dropped.

    Raises:
        TypeError: it is none of these.
        ValueError: another number of channels, or pixels that are not of eight bits.
    """
    if isinstance(image, Image.Image):
        if image.mode not in EIGHT_BITS:
            raise ValueError(
                f"the image is a picture of pillow's mode {image.mode}; wanted one of "
                f"{', '.join(EIGHT_BITS)}: scale it to eight bits first"
            )
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[..., ::-1])
    if isinstance(image, (str, os.PathLike)):
        return image
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"the image is of type {type(image).__name__}; wanted a path, an array or a picture of "
            "pillow's"
        )
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in CHANNELS:
        raise ValueError(
            f"the image is an array of {image.dtype} and shape {image.shape}; wanted uint8 of "
            "shape (H, W), (H, W, 3) in BGR order or (H, W, 4) in BGRA order"
        )
    if not image.size:
        raise ValueError(f"the image is an array of shape {image.shape}, without a pixel")
    image = image[..., None] if image.ndim == 2 else image
    image = image[..., :3] if image.shape[2] > 1 else np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image)
