"""Single images in mmseg's and mmdet's inference functions."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmseg.apis import MMSegInferencer, inference_model, init_model
from PIL import Image

from mmmaskformer.datasets.inferencers import as_image, check_call
from mmmaskformer.datasets.loading import LoadImageFromFile
from tests.conftest import ROOT, build_without_weights

SEMANTIC = str(ROOT / "configs/maskformer_r18_shapes.py")
PANOPTIC = str(ROOT / "configs/maskformer_r18_shapes-panoptic.py")
DETECTOR = str(ROOT / "configs/maskformer_r18_shapes-panoptic-mmdet.py")
META = dict(classes=[f"class {i}" for i in range(10)], palette=[[i, 0, 0] for i in range(10)])


def saved(path, model):
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=META)), path)
    return str(path)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "a.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    Image.fromarray(pixels).resize((128, 96), Image.BICUBIC).save(path, quality=95)
    return str(path)


@pytest.fixture(scope="module")
def semantic(small_model, tmp_path_factory):
    return saved(tmp_path_factory.mktemp("weights") / "a.pth", small_model)


@pytest.fixture(scope="module")
def panoptic(tmp_path_factory):
    torch.manual_seed(1)
    model = build_without_weights("maskformer_r18_shapes-panoptic")
    return saved(tmp_path_factory.mktemp("weights") / "p.pth", model)


def test_mmsegs_inferencer_sees_what_inference_model_sees(image, semantic, tmp_path):
    inferencer = MMSegInferencer(model=SEMANTIC, weights=semantic, device="cpu")
    loader = inferencer.pipeline.transforms[0]
    assert isinstance(loader.from_file, LoadImageFromFile)
    found = inferencer([image, image], out_dir=str(tmp_path), show=False)
    model = init_model(SEMANTIC, semantic, device="cpu")
    expected = inference_model(model, image).pred_sem_seg.data[0].numpy()
    scores = inferencer(image, return_datasamples=True).seg_logits.data
    assert torch.equal(scores, inference_model(model, image).seg_logits.data)
    for labels in found["predictions"]:
        np.testing.assert_array_equal(labels, expected)
    written = np.asarray(Image.open(tmp_path / "pred/00000000_pred.png"))
    np.testing.assert_array_equal(written, expected)
    assert cv2.imread(str(tmp_path / "vis/a.jpg")).shape == (96, 128, 3)
    array = cv2.imread(image)
    np.testing.assert_array_equal(inferencer(array)["predictions"], expected)


def test_an_array_and_then_a_path(image, semantic):
    model = init_model(SEMANTIC, semantic, device="cpu")
    before = model.cfg.pretty_text
    expected = inference_model(model, image).pred_sem_seg.data
    pixels = cv2.imread(image)
    picture = Image.open(image)
    for again in (pixels, picture, image, [pixels][0], picture.convert("RGBA"), image):
        result = inference_model(model, again).pred_sem_seg.data
        assert torch.equal(result, expected), again
    assert model.cfg.pretty_text == before
    with pytest.raises(ValueError, match=r"array of uint16 and shape \(4, 4\); wanted uint8"):
        inference_model(model, np.zeros((4, 4), np.uint16))
    with pytest.raises(ValueError, match="the list of images is empty; wanted at least one"):
        inference_model(model, [])
    with pytest.raises(ValueError, match="the list of images has paths and arrays"):
        inference_model(model, [image, pixels])
    with pytest.raises(TypeError, match="the image is of type int; wanted a path, an array"):
        inference_model(model, 3)


def test_panoptic_configs_in_both_inferencers(image, panoptic, tmp_path):
    found = MMSegInferencer(model=PANOPTIC, weights=panoptic, device="cpu")(
        image, return_datasamples=True, out_dir=str(tmp_path / "seg")
    )
    expected = inference_model(init_model(PANOPTIC, panoptic, device="cpu"), image)
    ids = found.pred_panoptic_seg.ids
    assert torch.equal(ids, expected.pred_panoptic_seg.ids)
    assert cv2.imread(str(tmp_path / "seg/vis/a.jpg")).shape[0] == 96
    inferencer = DetInferencer(
        model=DETECTOR, weights=panoptic, device="cpu", palette="random", show_progress=False
    )
    found = inferencer(
        [image], return_datasamples=True, out_dir=str(tmp_path / "det"), no_save_pred=True
    )
    sample = found["predictions"][0]
    assert torch.equal(sample.panoptic_result.ids, ids)
    assert cv2.imread(str(tmp_path / "det/vis/a.jpg")).shape[0] == 96


def test_images_of_any_kind_become_bgr_of_eight_bits():
    bgr = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert as_image("a.png") == "a.png"
    np.testing.assert_array_equal(as_image(bgr), bgr)
    np.testing.assert_array_equal(as_image(np.dstack([bgr, bgr[..., :1]])), bgr)
    np.testing.assert_array_equal(as_image(Image.fromarray(bgr[..., ::-1].copy())), bgr)
    grey = bgr[..., 0]
    for image in (grey, grey[..., None], Image.fromarray(grey)):
        np.testing.assert_array_equal(as_image(image), np.dstack([grey] * 3))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 2), np.uint16), r"array of uint16 and shape \(2, 2\)"),
        (np.zeros((2, 2, 3), np.float32), r"array of float32 and shape \(2, 2, 3\)"),
        (np.zeros((2, 2, 5), np.uint8), r"array of uint8 and shape \(2, 2, 5\)"),
        (np.zeros((0, 4, 3), np.uint8), r"array of shape \(0, 4, 3\), without a pixel"),
        (np.zeros(4, np.uint8), r"array of uint8 and shape \(4,\)"),
        (Image.new("I;16", (2, 2)), "pillow's mode I;16; wanted one of"),
        (Image.new("F", (2, 2)), "pillow's mode F; wanted one of"),
    ],
)
def test_other_pixels_are_refused_by_name(image, message):
    with pytest.raises(ValueError, match=message):
        as_image(image)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("in", dict(out_dir="in", img_out_dir=""), "out_dir in: .* over the images of in;"),
        ("in/vis/a.png", dict(out_dir="in"), "out_dir in: .* over the images of in/vis;"),
        (["b.png", "c.png"], dict(out_dir="sub/..", img_out_dir="."), "over the images of ;"),
        ("in", dict(batch_size=0), "batch_size must be at least 1, got 0"),
        ("in", dict(batch_size=1.5), "batch_size must be a whole number at least 1, got 1.5"),
    ],
)
def test_what_an_inferencer_can_not_do(tmp_path, monkeypatch, inputs, options, message):
    monkeypatch.chdir(tmp_path)
    for name in ("in/vis", "sub"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "in/vis/a.png").touch()
    with pytest.raises(ValueError, match=message):
        check_call(inputs, options)


def test_pictures_may_lie_below_the_images_and_arrays_lie_nowhere(tmp_path):
    check_call(str(tmp_path), dict(out_dir=str(tmp_path), batch_size=2))
    check_call([np.zeros((2, 2, 3), np.uint8)], dict(out_dir="in", img_out_dir=""))
    check_call(str(tmp_path), dict(out_dir=""))


def test_both_inferencers_are_asked_first(monkeypatch):
    for inferencer in (MMSegInferencer, DetInferencer):
        with pytest.raises(ValueError, match="batch_size must be at least 1, got -1"):
            inferencer.__call__(None, "in", batch_size=-1)
