"""Images of every pixel type: one rule, whatever the backend, or a refusal that names the file."""

import cv2
import numpy as np
import pytest
from PIL import Image

from mmmaskformer.datasets import LoadImageFromFile
from mmmaskformer.datasets.loading import read_labels

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
BACKENDS = ("pillow", "cv2")


def load(path, backend, **options):
    return LoadImageFromFile(imdecode_backend=backend, **options)({"img_path": str(path)})["img"]


def save(array, mode=None, **options):
    def write(path):
        image = Image.fromarray(array)
        (image.convert(mode) if mode else image).save(path, **options)

    return write


def deep(array):
    return lambda path: cv2.imwrite(str(path), array.astype(np.uint16))


def rgb(grey):
    return np.repeat(grey[..., None], 3, 2)


TAKEN = {
    "grey": ("a.png", save(GREY), rgb(GREY)),
    "grey and alpha": ("a.png", save(GREY, "LA"), rgb(GREY)),
    "colours": ("a.png", save(RGB), RGB),
    "colours and alpha": ("a.png", save(np.dstack([RGB, GREY])), RGB),
    "one bit": ("a.png", save(GREY, "1"), None),
    "palette": ("a.png", save(RGB, "P"), None),
    "palette with a transparent colour": ("a.png", save(RGB, "P", transparency=3), None),
    "CMYK": ("a.tif", save(RGB, "CMYK"), None),
    "CMYK jpeg": ("a.jpg", save(RGB, "CMYK"), None),
    "16 bits grey": ("a.png", deep(GREY * np.uint16(256) + 77), rgb(GREY)),
    "16 bits grey tif": ("a.tif", deep(GREY * np.uint16(256) + 77), rgb(GREY)),
    "16 bits colours": ("a.png", deep(RGB[..., ::-1] * np.uint16(256) + 77), RGB),
    "16 bits and black": ("a.png", deep(GREY * 0), rgb(GREY * 0)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_taken_by_one_rule(tmp_path, case):
    name, write, expected = TAKEN[case]
    write(tmp_path / name)
    images = [load(tmp_path / name, backend) for backend in BACKENDS]
    for image in images:
        assert image.dtype == np.uint8
        assert image.shape == (20, 30, 3)
        assert image.flags.c_contiguous
        assert np.array_equal(image, images[0])
    if expected is None:
        with Image.open(tmp_path / name) as file:
            expected = np.asarray(file.convert("RGB"))
    assert np.array_equal(images[0], expected[..., ::-1])


def stack(path):
    Image.fromarray(GREY).save(path, save_all=True, append_images=[Image.fromarray(GREY)] * 2)


REFUSED = {
    "float": ("a.tif", lambda p: cv2.imwrite(str(p), GREY.astype(np.float32) / 255), "mode 'F'"),
    "32 bits": ("a.tif", save(GREY.astype(np.int32) * 1000), "mode 'I'"),
    "LAB": ("a.tif", save(RGB, "LAB"), "mode 'LAB'"),
    "12 bits grey": ("a.png", deep(GREY * np.uint16(16)), "no value above 4095"),
    "12 bits colours": ("a.png", deep(RGB * np.uint16(16)), "no value above 4095"),
    "8 bits in 16": ("a.png", deep(GREY), "no value above 4095"),
    "a stack": ("a.tif", stack, "is a stack of 3 images"),
    "float colours": (
        "a.tif",
        lambda p: cv2.imwrite(str(p), RGB.astype(np.float32) / 255),
        "can not be read|pixels of float32",
    ),
    "high dynamic range": (
        "a.hdr",
        lambda p: cv2.imwrite(str(p), RGB.astype(np.float32)),
        "can not be read|pixels of float32",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("backend", BACKENDS)
def test_refused_by_name(tmp_path, case, backend):
    name, write, message = REFUSED[case]
    write(tmp_path / name)
    with pytest.raises(ValueError, match=rf"^image .*{name} .*({message})"):
        load(tmp_path / name, backend)
    assert LoadImageFromFile(ignore_empty=True)({"img_path": str(tmp_path / name)}) is None


def test_options_of_mmcv(tmp_path):
    save(RGB)(tmp_path / "a.png")
    image = load(tmp_path / "a.png", "pillow", to_float32=True)
    assert image.dtype == np.float32
    assert load(tmp_path / "a.png", "pillow", color_type="grayscale").shape == (20, 30)
    results = LoadImageFromFile()({"img_path": str(tmp_path / "a.png")})
    assert results["img_shape"] == results["ori_shape"] == (20, 30)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "b.png", "pillow")


def test_large_images_are_not_called_damaged(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    save(GREY)(tmp_path / "a.png")
    for read in (
        lambda: load(tmp_path / "a.png", "pillow"),
        lambda: read_labels(str(tmp_path / "a.png")),
    ):
        with pytest.raises(ValueError, match=r"a\.png is too large: .*MAX_IMAGE_PIXELS"):
            read()
