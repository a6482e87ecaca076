"""tools/test.py --images: folders without labels, semantic and panoptic."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from mmmaskformer import Predictor
from mmmaskformer.datasets import ShapesDataset
from mmmaskformer.datasets.unlabelled import loads, loads_annotations, without_steps
from mmmaskformer.engine.unlabelled import use_images
from tests.commands import python
from tests.conftest import ROOT, load_config
from tests.inference.conftest import checkpoints, photographs  # noqa: F401
from tests.inference.models import PANOPTIC, SEMANTIC, UPERNET

KEEP = {"object_threshold": 0.05, "overlap_threshold": 0.0}


def run(name, checkpoint, images, out, *options, **kwargs):
    work = ("--work-dir", out / "work")
    config = f"configs/{name}.py"
    return python(
        "tools/test.py", config, checkpoint, "--images", images, *work, *options, **kwargs
    )


@pytest.fixture
def nested(photographs, tmp_path):  # noqa: F811
    """Two images of one name in two folders; no label anywhere."""
    for source, target in (("a", "x/a.png"), ("c", "y/a.png")):
        path = tmp_path / "images" / target
        path.parent.mkdir(parents=True)
        path.write_bytes((photographs / f"{source}.png").read_bytes())
    return tmp_path / "images"


@pytest.mark.parametrize("name", [SEMANTIC, UPERNET])
def test_label_maps_are_those_of_the_predictor(checkpoints, nested, tmp_path, name):  # noqa: F811
    text = run(name, checkpoints[name], nested, tmp_path, "--out", tmp_path / "maps")
    assert f"wrote 2 label maps to {tmp_path / 'maps'}" in text
    assert "mIoU" not in text
    assert "empty `self.results`" not in text
    predictor = Predictor(name, checkpoints[name], device="cpu")
    for path in ("x/a.png", "y/a.png"):
        written = np.asarray(Image.open(tmp_path / "maps" / path))
        assert np.array_equal(written, predictor(nested / path).semantic)
        assert len(np.unique(written)) > 1


def test_segments_are_those_of_the_predictor(checkpoints, photographs, tmp_path):  # noqa: F811
    options = [f"model.decode_head.panoptic_fusion.{k}={v}" for k, v in KEEP.items()]
    run(
        *(PANOPTIC, checkpoints[PANOPTIC], photographs, tmp_path, "--out", tmp_path / "results"),
        *("--show-dir", tmp_path / "shown", "--cfg-options", *options),
    )
    (*entries,) = json.loads((tmp_path / "results/panoptic.json").read_text())["annotations"]
    assert [entry["image_id"] for entry in entries] == ["a", "b", "c", "d"]
    predictor = Predictor(PANOPTIC, checkpoints[PANOPTIC], device="cpu", **KEEP)
    ids = predictor.model.dataset_meta.get("category_ids")
    for entry in entries:
        expected = predictor(photographs / entry["file_name"]).panoptic
        colors = np.asarray(Image.open(tmp_path / "results/panoptic" / entry["file_name"]))
        assert np.array_equal(colors.astype(int) @ [1, 256, 65536], expected.ids)
        assert [s["id"] for s in entry["segments_info"]] == [s["id"] for s in expected.segments]
        labels = [s["category_id"] for s in expected.segments]
        categories = [ids[label] for label in labels] if ids else labels
        assert [s["category_id"] for s in entry["segments_info"]] == categories
    assert max(len(entry["segments_info"]) for entry in entries) > 1
    assert len(list((tmp_path / "shown").rglob("*.png"))) == 4


def test_zero_is_nothing_where_the_dataset_says_so(checkpoints, photographs, tmp_path):  # noqa: F811
    """ADE20K's files count the classes from 1."""
    run(
        *(SEMANTIC, checkpoints[SEMANTIC], photographs, tmp_path, "--out", tmp_path / "maps"),
        *("--cfg-options", "test_dataloader.dataset.reduce_zero_label=True"),
    )
    predictor = Predictor(SEMANTIC, checkpoints[SEMANTIC], device="cpu")
    written = np.asarray(Image.open(tmp_path / "maps/a.png"))
    assert np.array_equal(written, predictor(photographs / "a.png").semantic + 1)


def test_views_of_test_time_augmentation_lose_their_labels(checkpoints, photographs, tmp_path):  # noqa: F811
    out = tmp_path / "maps"
    run(UPERNET, checkpoints[UPERNET], photographs, tmp_path, "--out", out, "--tta")
    predictor = Predictor(UPERNET, checkpoints[UPERNET], device="cpu", tta=True)
    written = np.asarray(Image.open(out / "a.png"))
    assert np.array_equal(written, predictor(photographs / "a.png").semantic)


def test_classes_of_a_dataset_whose_files_are_not_there(checkpoints, photographs):  # noqa: F811
    cfg = load_config(SEMANTIC)
    cfg.test_dataloader.dataset.type = "mmmaskformer.FolderDataset"
    use_images(cfg, str(photographs), str(checkpoints[SEMANTIC]))
    dataset = cfg.test_dataloader.dataset
    assert dataset.metainfo["classes"] == ShapesDataset.METAINFO["classes"]
    assert cfg.test_dataloader.batch_size == 1
    assert [one["type"] for one in cfg.test_evaluator] == ["mmmaskformer.IoUMetric"]
    empty = Config(dict(load_config(SEMANTIC), test_dataloader=dict(dataset=dict(
        type="mmmaskformer.FolderDataset", pipeline=[]))))  # fmt: skip
    other = photographs.parent / "plain.pth"
    torch.save({"state_dict": {}, "meta": {}}, other)
    with pytest.raises(ValueError, match=r"neither mmmaskformer\.FolderDataset nor .*plain\.pth"):
        use_images(empty, str(photographs), str(other))


def test_only_steps_that_load_annotations_go():
    load, labels, pack = (dict(type=t) for t in ("LoadImageFromFile", "LoadAnnotations", "Pack"))
    panoptic = dict(type="mmmaskformer.LoadPanopticAnnotations")
    views = dict(type="TestTimeAug", transforms=[[dict(type="Resize")], [labels], [panoptic, pack]])
    kept = dict(type="TestTimeAug", transforms=[[dict(type="Resize")], [pack]])
    assert without_steps([load, labels, views], loads_annotations) == [load, kept]
    assert without_steps([load, labels, views], loads) == [kept]
    maybe = dict(type="RandomApply", transforms=[labels, pack])  # one list, and not one of lists
    assert without_steps([maybe], loads) == [dict(type="RandomApply", transforms=[pack])]
    assert views["transforms"][1] == [labels]  # the config's own is as it was


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ([], "wanted --out, --show-dir or --show, too"),
        (["--out", "{images}/maps"], "--out {images}/maps would write among the files of {images}"),
        (["--show-dir", "{images}"], "--show-dir {images} would write among the files of {images}"),
        (["--images", "nowhere", "--out", "{out}"], "nowhere is no folder; wanted one with images"),
        (["--images", "docs/api", "--out", "{out}"], "docs/api has no images in it"),
    ],
)
def test_mistakes_are_one_line(checkpoints, photographs, tmp_path, options, text):  # noqa: F811
    names = dict(images=photographs, out=tmp_path / "out")
    options = [option.format(**names) for option in options]
    output = run(SEMANTIC, checkpoints[SEMANTIC], photographs, tmp_path, *options, ok=False)
    assert output.splitlines()[-1].startswith("error: ")
    assert text.format(**names) in output.splitlines()[-1]
    assert not (tmp_path / "out").exists()
    assert (ROOT / "docs/api").is_dir()
