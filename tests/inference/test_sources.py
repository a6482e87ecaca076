"""Every kind of source against the pixels that it was made of."""

import re

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from mmmaskformer.datasets.loading import LoadImageFromFile
from mmmaskformer.inference.sources import count, expand, frames, is_image
from tests.inference.conftest import write_film

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def one(source, **options):
    (frame,) = frames(source, **options)
    assert frame.image.dtype == np.uint8
    assert frame.image.shape[2] == 3
    return frame


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.JPG", "sub/c.webp", ".hidden.png", "notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no image")
        else:
            Image.fromarray(RGB).save(path, format=path.suffix[1:].replace("JPG", "jpeg"))
    return tmp_path


def test_arrays_are_bgr_unless_told():
    bgr = np.ascontiguousarray(RGB[..., ::-1])
    assert np.array_equal(one(bgr).image, RGB)
    assert np.array_equal(one(RGB, channel_order="rgb").image, RGB)
    assert one(bgr).name == "array 0"
    alpha = np.full((5, 7, 1), 9, np.uint8)
    assert np.array_equal(one(np.concatenate([bgr, alpha], 2)).image, RGB)
    rgba = np.concatenate([RGB, alpha], 2)
    assert np.array_equal(one(rgba, channel_order="rgb").image, RGB)
    grey = RGB[..., 0]
    for image in (grey, grey[..., None]):
        assert np.array_equal(one(image).image, np.repeat(grey[..., None], 3, 2))
    with pytest.raises(ValueError, match="channel_order must be 'bgr' or 'rgb', got 'gbr'"):
        frames(bgr, channel_order="gbr")


def test_tensors_are_rgb_whatever_the_order_of_arrays():
    tensor = torch.from_numpy(RGB).permute(2, 0, 1)
    for image in (tensor, tensor.float() / 255, tensor.double().div(255).requires_grad_()):
        assert np.array_equal(one(image, channel_order="bgr").image, RGB)
    assert np.array_equal(one(tensor[:1]).image, np.repeat(RGB[..., :1], 3, 2))
    assert np.array_equal(one(torch.cat([tensor, tensor[:1]])).image, RGB)  # alpha
    for bad, text in (
        (tensor.float(), "values outside of 0 to 1"),
        (torch.full((3, 4, 5), torch.nan), "values outside of 0 to 1"),
        (tensor[None], r"shape \(1, 3, 5, 7\); wanted \(C, H, W\)"),
        (tensor.long(), "int64"),
        (tensor[:2], r"shape \(2, 5, 7\)"),
        (tensor[:, :0], r"tensor 0 is of shape \(3, 0, 7\), without a pixel"),
    ):
        with pytest.raises(ValueError, match=text):
            one(bad)


def test_pictures_of_pillow(tmp_path):
    assert np.array_equal(one(Image.fromarray(RGB)).image, RGB)
    assert one(Image.fromarray(RGB)).name == "picture 0"
    grey = Image.fromarray(RGB).convert("L")
    assert np.array_equal(one(grey).image, np.repeat(np.asarray(grey)[..., None], 3, 2))
    with pytest.raises(ValueError, match="picture 0: the image is a picture of pillow's mode F"):
        one(grey.convert("F"))
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:8000])
    with pytest.raises(ValueError, match=r"cut\.png can not be read .*damaged"):
        one(Image.open(path))


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_orientation_is_that_of_the_training_loader(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    Image.fromarray(RGB).save(path, exif=exif)
    loaded = LoadImageFromFile().transform({"img_path": str(path)})["img"][..., ::-1]
    assert loaded.shape == ((7, 5, 3) if orientation in (6, 8) else (5, 7, 3))
    assert np.array_equal(one(str(path)).image, loaded)
    assert np.array_equal(one(Image.open(path)).image, loaded)
    assert np.array_equal(one([path]).image, loaded)


def test_folders_patterns_and_lists(folder):
    expected = [str(folder / name) for name in ("a.JPG", "b.png", "sub/c.webp")]
    assert [frame.name for frame in frames(folder)] == expected
    assert [frame.name for frame in frames(f"{folder}/*.png")] == expected[1:2]
    assert [frame.name for frame in frames(f"{folder}/**/*.*[Ggp]")] == expected
    assert count(expand(folder)) == 3
    nested = [folder / "b.png", [RGB, (path for path in expected[:1])], Image.fromarray(RGB), RGB]
    names = [frame.name for frame in frames(nested)]
    assert names == [expected[1], "array 0", expected[0], "picture 0", "array 1"]
    assert count(nested[2:]) == 2
    assert count(iter(nested)) is None
    assert count([str(folder)]) is None
    assert list(frames([])) == []


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path):
    path = tmp_path / "a[1].png"
    Image.fromarray(RGB).save(path)
    assert is_image(expand(path))
    assert np.array_equal(one(path).image, RGB)


def test_the_stream_is_lazy(folder):
    read = []

    def generator():
        for name in ("b.png", "missing.png"):
            read.append(name)
            yield folder / name

    stream = frames(generator())
    assert read == []
    next(stream)
    assert read == ["b.png"]
    with pytest.raises(FileNotFoundError, match=r"missing\.png does not exist"):
        next(stream)


def test_what_can_not_be_read_is_told_or_raised(folder):
    (folder / "zero.png").write_bytes(b"")
    told = []
    names = [frame.name for frame in frames(folder, skip=told.append)]
    assert [name.rsplit("/", 1)[1] for name in names] == ["a.JPG", "b.png", "c.webp"]
    assert re.fullmatch(r"image .*/zero\.png can not be read \(.*no image", str(told[0]))
    told.clear()
    odd = [None, "/nowhere/at/all.png", 3.5, np.zeros((0, 4, 3), np.uint8), RGB]
    assert len(list(frames(odd, skip=told.append))) == 1
    assert [str(error).split(";")[0] for error in told] == [
        "can not predict None",
        "/nowhere/at/all.png does not exist",
        "can not predict a float",
        "array 0: the image is an array of shape (0, 4, 3), without a pixel",
    ]
    with pytest.raises(TypeError, match="can not predict None"):
        list(frames(odd))


def test_an_image_of_far_too_many_pixels_is_not_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(path)
    with pytest.raises(ValueError, match=r"bomb\.png is too large: Image size \(900000000"):
        one(str(path))


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        (
            "strett.png",
            FileNotFoundError,
            r"strett\.png does not exist; did you mean .*street\.png",
        ),
        ("*.jpg", FileNotFoundError, r"no file matches .*\*\.jpg"),
        ("empty", ValueError, "empty has no images in it; wanted .bmp"),
        ("ftp://host/a.png", ValueError, "ftp://host/a.png can not be fetched; wanted an address"),
    ],
)
def test_sources_that_are_not_there(tmp_path, name, error, text):
    Image.fromarray(RGB).save(tmp_path / "street.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=text):
        expand(name if "://" in name else tmp_path / name)


def test_a_link_to_nothing_is_not_its_own_suggestion(tmp_path):
    (tmp_path / "link.png").symlink_to("nothing")
    with pytest.raises(FileNotFoundError, match=r"link\.png does not exist$"):
        expand(tmp_path / "link.png")


def test_frames_of_a_video(film):
    assert count(expand(film)) == 12
    found = list(frames(film))
    assert [frame.name for frame in found][:2] == [f"{film} frame 0", f"{film} frame 1"]
    for number, frame in enumerate(found):
        assert frame.image.shape == (48, 64, 3)
        assert abs(int(frame.image[20, 20, 0]) - 20 * number) < 8  # red, but for the codec
        assert frame.image[20, 20, 2] < 8


def test_a_video_that_is_cut_gives_its_frames_and_an_error(film, tmp_path, capfd):
    cut = tmp_path / "cut.avi"
    cut.write_bytes(film.read_bytes()[: int(film.stat().st_size * 0.7)])
    told = []
    found = list(frames(cut, skip=told.append))
    assert 0 < len(found) < 12
    assert re.search(
        rf"cut\.avi ends after {len(found)} of \d+ frames; it is damaged", str(told[0])
    )
    for content in (b"", b"no video" * 100):
        cut.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"cut\.avi can not be read; it is damaged or no video"
        ):
            list(frames(cut))
    assert capfd.readouterr().err == ""  # nor does OpenCV say anything


def test_a_camera_that_is_not_there(capfd):
    with pytest.raises(OSError, match="camera 97 can not be opened"):
        list(frames(97))
    with pytest.raises(ValueError, match="there is no camera -1; wanted a number of at least 0"):
        list(frames(-1))  # OpenCV's is a crash of the process
    assert capfd.readouterr().err == ""


def test_a_damaged_video_stops_neither_the_count_nor_the_stream(film, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"")
    source, told = [bad, film], []
    assert count([item for path in source for item in expand(path)]) is None
    assert len(list(frames(source, skip=told.append))) == 12
    assert len(told) == 1


def test_a_video_in_a_folder_stands_among_the_images(tmp_path):
    write_film(tmp_path / "m.mp4", 3)
    cv2.imwrite(str(tmp_path / "n.png"), RGB)
    names = [frame.name.rsplit("/", 1)[1] for frame in frames(tmp_path)]
    assert names == ["m.mp4 frame 0", "m.mp4 frame 1", "m.mp4 frame 2", "n.png"]
