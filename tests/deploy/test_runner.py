"""An exported file against the model, on onnxruntime and numpy alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmmaskformer.deploy import Runner, __main__
from mmmaskformer.deploy.runner import read_image
from mmmaskformer.utils.command import run
from mmmaskformer.utils.png_ids import decode_ids
from tests.commands import mistake
from tests.conftest import ROOT

WITHOUT = """
import sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked}:
            raise ImportError(f"{{name}} must not be imported")

sys.meta_path.insert(0, Nowhere())
sys.argv = {arguments}
import runpy
runpy.run_module("mmmaskformer.deploy", run_name="__main__", alter_sys=True)
"""
BLOCKED = ("torch", "mmcv", "mmdet", "mmengine", "mmseg", "cv2", "scipy", "matplotlib")


def photographs(shared, count):
    return sorted((shared / "data/coco_panoptic_mini/coco/val2017").glob("*.jpg"))[:count]


def reference(model, path):
    """What the model gives for an image, by mmseg's own function."""
    from mmseg.apis import inference_model

    sample = inference_model(model, str(path))
    return sample.pred_sem_seg.data[0].numpy(), sample.pred_panoptic_seg


@pytest.mark.slow
def test_labels_and_segments_of_real_photographs(onnx_file, sure_model, shared):
    runner = Runner(onnx_file)
    kinds = []
    paths = photographs(shared, 20)
    for path in paths:
        labels, panoptic = reference(sure_model, path)
        found = runner(path)
        assert found.semantic.shape == labels.shape
        assert (found.semantic != labels).mean() < 1e-4
        assert (found.panoptic.ids != panoptic.ids.numpy()).mean() < 1e-4
        assert len(found.panoptic.segments) == len(panoptic.segments_info)
        for one, other in zip(found.panoptic.segments, panoptic.segments_info, strict=True):
            for key in ("id", "category_id", "isthing"):
                assert one[key] == other[key]
            assert one["score"] == pytest.approx(other["score"], abs=1e-3)
            assert one["area"] == pytest.approx(other["area"], abs=1e-4 * labels.size)
            kinds.append(one["category_id"])
    assert len(paths) == 20
    assert len(kinds) > 20
    assert len(set(kinds)) > 3


@pytest.mark.slow
def test_the_command_without_torch_and_openmmlab(onnx_file, shared, tmp_path):
    paths = photographs(shared, 2)
    arguments = ["deploy", str(onnx_file), *map(str, paths), "--out", str(tmp_path / "out")]
    script = WITHOUT.format(blocked=BLOCKED, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    written = sorted((tmp_path / "out").iterdir())
    assert sorted(done.stdout.split()) == [str(path) for path in written]
    ends = ("_labels.png", "_overlay.jpg", "_panoptic.json", "_panoptic.png")
    assert [path.name for path in written] == [p.stem + end for p in paths for end in ends]
    found = Runner(onnx_file)(paths[0])
    labels, overlay, segments, ids = written[:4]
    np.testing.assert_array_equal(np.asarray(Image.open(labels)), found.semantic)
    np.testing.assert_array_equal(decode_ids(ids.read_bytes(), "ids"), found.panoptic.ids)
    assert json.loads(segments.read_text())["segments_info"] == found.panoptic.segments
    error = np.asarray(Image.open(overlay)).astype(float) - found.overlay()
    assert np.abs(error).mean() < 5


@pytest.mark.slow
def test_segments_are_described(onnx_file, sure_model):
    image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    result = Runner(onnx_file)(image)
    segments = result.panoptic.segments
    assert segments
    for segment in segments:
        rows, columns = np.nonzero(result.panoptic.ids == segment["id"])
        assert segment["area"] == len(rows)
        assert segment["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert segment["class"] == sure_model.dataset_meta["classes"][segment["category_id"]]
    color = np.asarray(sure_model.dataset_meta["palette"])[result.semantic]
    np.testing.assert_array_equal(result.overlay(1.0), color)
    np.testing.assert_array_equal(result.overlay(0.0), image)


@pytest.mark.slow
def test_semantic_models_have_no_segments(onnx_file):
    runner = Runner(onnx_file)
    runner.meta = {**runner.meta, "panoptic": None}
    result = runner(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(ValueError, match="array: the model has no panoptic inference"):
        _ = result.panoptic


@pytest.mark.slow
def test_semantic_models_write_labels_and_overlay(onnx_file, tmp_path):
    runner = Runner(onnx_file)
    runner.meta = {**runner.meta, "panoptic": None}
    result = runner(np.zeros((40, 50, 3), np.uint8))
    assert {path.name for path in result.save(tmp_path, "a")} == {"a_overlay.jpg", "a_labels.png"}


def test_files_that_are_no_exports(tmp_path):
    pytest.importorskip("onnxruntime", reason="needs extra export")
    with pytest.raises(FileNotFoundError, match="exported model .*a.onnx does not exist"):
        Runner(tmp_path / "a.onnx")
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="a.onnx is no ONNX file that onnxruntime can run"):
        Runner(tmp_path / "a.onnx")


def test_onnxruntime_is_asked_for_by_name(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="ONNX files need onnxruntime; pip install onnxruntime"):
        Runner(tmp_path / "a.onnx")


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros((4, 4, 4), np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
    ],
)
def test_arrays_that_are_no_images(array, shape):
    with pytest.raises(ValueError, match=f"{shape}.*; wanted uint8 of shape"):
        read_image(array)


def test_images_are_read_as_the_pipeline_reads_them(tmp_path):
    from mmmaskformer.datasets.loading import LoadImageFromFile

    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    picture, exif = Image.fromarray(pixels), Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    picture.save(tmp_path / "turned.jpg", exif=exif)
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg")
    picture.convert("P").save(tmp_path / "palette.png")
    picture.convert("L").save(tmp_path / "grey.png")
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "deep.png")
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 6
    for path in paths:
        found, name = read_image(path)
        wanted = LoadImageFromFile().transform({"img_path": str(path)})["img"]
        np.testing.assert_array_equal(found, wanted[..., ::-1])
        assert name == str(path)
    np.testing.assert_array_equal(read_image(picture)[0], pixels)


def test_images_that_can_not_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="image .*no.jpg does not exist"):
        read_image(tmp_path / "no.jpg")
    with pytest.raises(ValueError, match="is a pipe, a device, a socket or a folder; wanted a"):
        read_image(tmp_path)
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="image .*empty.jpg can not be read"):
        read_image(tmp_path / "empty.jpg")
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "float.tiff")
    with pytest.raises(ValueError, match="float.tiff has pixels of pillow's mode 'F'"):
        read_image(tmp_path / "float.tiff")
    dark = np.zeros((4, 4), np.uint16)
    dark[0] = 4000
    Image.fromarray(dark).save(tmp_path / "dark.png")
    with pytest.raises(ValueError, match="dark.png has 16 bits, but no value above 4095"):
        read_image(tmp_path / "dark.png")


@pytest.mark.parametrize(
    ("images", "out", "message"),
    [
        (["a.jpg"], "a.jpg", "would write over"),
        (["a.jpg", "a.png"], "out", "would be written under one name"),
        (["a.jpg", "a_overlay.jpg"], ".", "would write over"),
    ],
)
def test_outputs_are_not_written_over_inputs(tmp_path, monkeypatch, capsys, images, out, message):
    for name in ("a.jpg", "a.png", "a_overlay.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    arguments = ["x.onnx", *(str(tmp_path / name) for name in images), "--out", str(tmp_path / out)]
    monkeypatch.setattr(sys, "argv", ["deploy", *arguments])
    assert message in mistake(capsys, run, __main__.main)
