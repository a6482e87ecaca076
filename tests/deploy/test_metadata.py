"""What is done with an image before the network, against the pipeline and the preprocessor."""

import json
import sys

import numpy as np
import pytest
import torch
from mmcv.transforms import Resize

from mmmaskformer.deploy.metadata import KEY, network_input, read_metadata, resize
from mmmaskformer.seg.data_preprocessor import MaskFormerDataPreProcessor

RULE = {"scale": [400, 300], "keep_ratio": True, "backend": "pillow"}


def noise(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


@pytest.mark.parametrize("keep_ratio", [True, False])
@pytest.mark.parametrize("backend", ["pillow", "cv2"])
@pytest.mark.parametrize("size", [(480, 640), (640, 427), (33, 900), (300, 400), (5, 7)])
@pytest.mark.parametrize("scale", [(400, 300), (300, 400), (101, 57)])
def test_images_are_resized_as_in_the_pipeline(size, scale, backend, keep_ratio):
    rule = {"scale": list(scale), "keep_ratio": keep_ratio, "backend": backend}
    image = noise(*size)
    found = resize(image, rule)
    results = {"img": image, "img_shape": size}
    wanted = Resize(scale, keep_ratio=keep_ratio, backend=backend).transform(results)["img"]
    np.testing.assert_array_equal(found, wanted)


def test_without_a_rule_images_keep_their_size():
    image = noise(5, 7)
    assert resize(image, None) is image


def test_images_without_a_row_are_refused():
    with pytest.raises(ValueError, match="an image of 1x5000 pixels .* would become 0x400; wanted"):
        resize(noise(1, 5000), RULE)


def test_opencv_is_asked_for_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="resizes images with OpenCV; pip install opencv"):
        resize(noise(5, 7), {**RULE, "backend": "cv2"})
    assert resize(noise(30, 40), RULE).shape == (300, 400, 3)


@pytest.mark.parametrize(("divisor", "pad"), [(32, 0), (32, 1.5), (1, 0)])
def test_padding_is_the_preprocessors(divisor, pad):
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    preprocessor = MaskFormerDataPreProcessor(
        mean=mean, std=std, bgr_to_rgb=True, pad_val=pad, test_cfg=dict(size_divisor=divisor)
    )
    image = noise(45, 64)
    bgr = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    wanted = preprocessor({"inputs": [bgr]}, False)["inputs"].numpy()
    meta = {"divisor": divisor, "pad_value": [m + pad * s for m, s in zip(mean, std, strict=True)]}
    found = network_input(image, meta)
    assert found.dtype == np.float32
    found = (found - np.float32(mean)[:, None, None]) / np.float32(std)[:, None, None]
    assert found.shape == wanted.shape == (1, 3, 64 if divisor == 32 else 45, 64)
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_metadata_of_others_and_of_later_versions_is_refused():
    with pytest.raises(ValueError, match="x.onnx was not written by `mmmaskformer export`"):
        read_metadata({"author": "me"}, "x.onnx")
    meta = {"format_version": 2, "package_version": "9.0"}
    with pytest.raises(ValueError, match="has the format 2 and was written by mmmaskformer 9.0"):
        read_metadata({KEY: json.dumps(meta)}, "x.onnx")
    with pytest.raises(ValueError, match="the metadata of x.onnx is no valid json"):
        read_metadata({KEY: "{"}, "x.onnx")
    meta["format_version"] = 1
    assert read_metadata({KEY: json.dumps(meta)}, "x.onnx") == meta
