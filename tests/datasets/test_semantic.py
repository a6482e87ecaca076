"""Tables and loading of the semantic datasets; CamVid's preparation."""

import numpy as np
import pytest
from mmseg.datasets import COCOStuffDataset, MapillaryDataset_v1
from PIL import Image

from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.datasets import (
    ADE20KFullDataset,
    CamVidDataset,
    COCOStuff10KDataset,
    MapillaryDataset,
    NYUv2Dataset,
)
from mmmaskformer.datasets.loading import LoadAnnotations, LoadImageFromFile
from mmmaskformer.datasets.tables import metainfo


def test_table_of_coco_stuff():
    """mmseg's classes and colours; ids of the .mat are 2 + class, in COCO's order."""
    ours, theirs = COCOStuff10KDataset.METAINFO, COCOStuffDataset.METAINFO
    assert ours["classes"] == list(theirs["classes"])
    assert ours["palette"] == theirs["palette"]
    assert len(ours["classes"]) == 171
    things = metainfo("coco_panoptic")["classes"][:80]
    assert ours["classes"][:80] == things
    assert ours["classes"][80:] == sorted(ours["classes"][80:])


def test_table_of_mapillary():
    """mmseg's but for the last, "Unlabeled", which is ignored."""
    ours, theirs = MapillaryDataset.METAINFO, MapillaryDataset_v1.METAINFO
    assert [*ours["classes"], "Unlabeled"] == list(theirs["classes"])
    assert [*ours["palette"], [0, 0, 0]] == theirs["palette"]
    assert len(ours["classes"]) == 65


def voc_color(index):
    """PASCAL VOC's rule: bits 0, 3, 6, ... are red's, highest first, then green's and blue's."""
    bits = f"{index:024b}"[::-1]
    return [int(bits[channel::3], 2) for channel in range(3)]


def test_table_of_ade20k_full():
    meta = metainfo("ade20k_full")
    classes, ids = meta["classes"], meta["category_ids"]
    assert [len(column) for column in meta.values()] == [847] * 3
    assert len(set(classes)) == len(set(ids)) == 847
    assert (classes[0], ids[0]) == ("wall", 2978)
    assert (classes[-1], ids[-1]) == ("adding machine, totalizer, totaliser", 3148)
    assert (classes[500], ids[500]) == ("cat", 430)
    # The index is in alphabetical order, but for names that were added at its end.
    by_id = [name for number, name in sorted(zip(ids, classes, strict=True)) if number <= 3100]
    assert by_id == sorted(by_id)
    assert len(by_id) == 827
    assert meta["palette"] == [voc_color(1 + i) for i in range(847)]
    assert len(set(map(tuple, meta["palette"]))) == 847


def test_names_of_ade20k_full_are_the_index_s(shared):
    meta = metainfo("ade20k_full")
    classes, ids = meta["classes"], meta["category_ids"]
    index = shared / "data/ade20k_full_mini/ADE20K_2021_17_01/index_ade20k.pkl"
    names = load_checkpoint_file(index)["objectnames"]
    given = {number: name for number, name in enumerate(names, 1) if name and number in ids}
    assert given == {n: classes[ids.index(n)] for n in given}
    assert len(given) > 20


def test_ade20k_full_has_all_classes_or_none(tmp_path):
    arguments = dict(data_root=str(tmp_path), lazy_init=True)
    classes = metainfo("ade20k_full")["classes"]
    dataset = ADE20KFullDataset(metainfo=dict(classes=classes), **arguments)
    assert dataset.metainfo["label_map"] is None
    assert len(dataset.metainfo["palette"]) == 847
    with pytest.raises(ValueError, match="847 classes and can not take 2 others from metainfo"):
        ADE20KFullDataset(metainfo=dict(classes=["wall", "sky"]), **arguments)


@pytest.mark.parametrize(
    ("dataset", "classes", "ignored"),
    [
        (CamVidDataset, 11, 255),
        (COCOStuff10KDataset, 171, 255),
        (ADE20KFullDataset, 847, 65535),
        (MapillaryDataset, 65, 65),
        (NYUv2Dataset, 40, 255),
    ],
)
def test_metadata(dataset, classes, ignored):
    built = dataset(lazy_init=True)
    assert len(built.metainfo["classes"]) == len(built.metainfo["palette"]) == classes
    assert built.ignore_index == ignored
    assert (built.img_suffix, built.seg_map_suffix) == (".jpg", ".png")
    assert dataset(lazy_init=True, ignore_index=7).ignore_index == 7


@pytest.mark.parametrize("labels", ["labels", "v1.2/labels"])
def test_mapillary_as_it_is_downloaded(tmp_path, labels):
    """Label images have a palette; their indices are what counts, not the colours."""
    colors = np.array([*metainfo("mapillary")["palette"], [0, 0, 0]], np.uint8)
    written = np.array([[0, 13, 65], [64, 1, 27]], np.uint8)
    image = Image.fromarray(written, "P")
    image.putpalette(colors.tobytes())
    for folder in ("images", labels):
        (tmp_path / "training" / folder).mkdir(parents=True)
    image.save(tmp_path / "training" / labels / "a.png")
    image.convert("RGB").save(tmp_path / "training/images/a.jpg")
    assert Image.open(tmp_path / "training" / labels / "a.png").mode == "P"
    (sample,) = MapillaryDataset(
        data_root=str(tmp_path),
        data_prefix=dict(img_path="training/images", seg_map_path=f"training/{labels}"),
        pipeline=[LoadImageFromFile(), LoadAnnotations(ignore_index=65)],
    )
    assert sample["gt_seg_map"].tolist() == written.tolist()
    assert sample["img"].shape == (2, 3, 3)


@pytest.fixture
def segnet(tmp_path):
    """One image a split, as the SegNet tutorial has them."""
    for number, split in enumerate(("train", "val", "test")):
        for folder in (split, f"{split}annot"):
            (tmp_path / "CamVid" / folder).mkdir(parents=True)
        image = np.full((4, 3, 3), (200, 100, 50 * number), np.uint8)
        Image.fromarray(image).save(tmp_path / f"CamVid/{split}/a.png")
        labels = np.arange(12, dtype=np.uint8).reshape(4, 3)
        Image.fromarray(labels).save(tmp_path / f"CamVid/{split}annot/a.png")
    return tmp_path / "CamVid"


@pytest.mark.slow
def test_camvid_preparation(run_tool, segnet, tmp_path):
    for _ in range(2):
        run_tool("prepare_camvid", segnet, tmp_path / "out")
        for number, split in enumerate(("train", "val", "test")):
            (sample,) = CamVidDataset(
                data_root=str(tmp_path / "out"),
                data_prefix=dict(img_path=f"images/{split}", seg_map_path=f"annotations/{split}"),
                pipeline=[LoadImageFromFile(), LoadAnnotations()],
            )
            assert sample["gt_seg_map"].ravel().tolist() == [*range(11), 255]
            assert np.abs(sample["img"] - np.array([50 * number, 100, 200])).max() <= 3
        half = (tmp_path / "out/images/val/a.jpg").read_bytes()[:100]
        (tmp_path / "out/images/val/a.jpg").write_bytes(half)
        (tmp_path / "out/annotations/test/a.png").unlink()


def test_broken_camvid_is_named(run_tool, segnet, tmp_path):
    Image.fromarray(np.full((4, 3), 12, np.uint8)).save(segnet / "valannot/a.png")
    error = run_tool("prepare_camvid", segnet, tmp_path / "out", ok=False)
    assert error.endswith("valannot/a.png must hold 0..11, got 12")
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(segnet / "valannot/a.png")
    error = run_tool("prepare_camvid", segnet, tmp_path / "out", ok=False)
    assert error.endswith(f"is (3, 4) (height, width), its image {segnet}/val/a.png (4, 3)")
    assert not list((tmp_path / "out/images/val").iterdir())
    error = run_tool("prepare_camvid", segnet / "train", tmp_path / "out", ok=False)
    assert error.endswith(f"no images in {segnet}/train/train")
