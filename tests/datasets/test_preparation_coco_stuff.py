"""tools/prepare_coco_stuff_10k.py on generated label maps, real ones and broken ones."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmmaskformer.datasets import COCOStuff10KDataset
from mmmaskformer.datasets.loading import LoadAnnotations, LoadImageFromFile
from tests.conftest import ROOT
from tests.datasets.conftest import writable_copy

h5py = pytest.importorskip("h5py")
TOOL = "prepare_coco_stuff_10k"


@pytest.fixture
def stuff(shared, tmp_path):
    return writable_copy(shared / "data/coco_stuff_10k_mini/coco/coco_stuff_10k", tmp_path)


def write_mat(path, labels):
    with h5py.File(path, "w") as file:
        file["S"] = np.asarray(labels, np.uint16).T


@pytest.fixture
def small(tmp_path):
    """Two images, 2x3."""
    for folder in ("images", "annotations", "imageLists"):
        (tmp_path / folder).mkdir()
    for split, stem in (("train", "a"), ("test", "b")):
        Image.new("RGB", (3, 2)).save(tmp_path / f"images/{stem}.jpg")
        write_mat(tmp_path / f"annotations/{stem}.mat", [[1, 2, 3], [81, 82, 172]])
        (tmp_path / f"imageLists/{split}.txt").write_text(f"{stem}\n")
    return tmp_path


def add_images(root, stems):
    """More images of the training split, each with labels of its own."""
    for value, stem in enumerate(stems, 2):
        Image.new("RGB", (3, 2)).save(root / f"images/{stem}.jpg")
        write_mat(root / f"annotations/{stem}.mat", [[value, 2, 3], [81, 82, 172]])
    with (root / "imageLists/train.txt").open("a") as file:
        file.writelines(f"{stem}\n" for stem in stems)


def labels_by_hand(path):
    """S - 2 pixel by pixel; 1 becomes 255."""
    with h5py.File(path) as file:
        stored = file["S"][()]
    rows = stored.transpose().tolist()
    return [[255 if value == 1 else value - 2 for value in row] for row in rows]


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_small(run_tool, small):
    output = run_tool(TOOL, small)
    assert f"{small}/labels: 1 label maps of train" in output
    assert set(files_of(small / "labels")) == {"a.png", "b.png"}
    labels = np.asarray(Image.open(small / "labels/a.png"))
    assert labels.dtype == np.uint8
    assert labels.tolist() == [[255, 0, 1], [79, 80, 170]]


def test_real_label_maps(run_tool, stuff):
    run_tool(TOOL, stuff)
    seen = set()
    for split, count in (("train", 13), ("test", 8)):
        dataset = COCOStuff10KDataset(
            data_root=str(stuff),
            ann_file=f"imageLists/{split}.txt",
            data_prefix=dict(img_path="images", seg_map_path="labels"),
            pipeline=[LoadImageFromFile(), LoadAnnotations()],
        )
        assert len(dataset) == count
        for sample in dataset:
            name = sample["seg_map_path"].split("/")[-1].replace(".png", ".mat")
            expected = labels_by_hand(stuff / "annotations" / name)
            assert sample["gt_seg_map"].tolist() == expected
            assert sample["img"].shape[:2] == sample["gt_seg_map"].shape
            seen |= set(np.unique(sample["gt_seg_map"]).tolist())
    assert len(seen - {255}) == 87


KILLED = """
import os, signal, sys
replace, done = os.replace, []
def replace_some(source, target):
    if len(done) == 3:
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(replace(source, target))
os.replace = replace_some
import runpy
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_killed_run_goes_on(run_tool, small):
    """kill -9 between writing and renaming, in the worker and in the first process."""
    add_images(small, "cdefg")
    run_tool(TOOL, small)
    complete = files_of(small / "labels")
    for path in (small / "labels").iterdir():
        path.unlink()
    arguments = [sys.executable, "-c", KILLED, str(ROOT / f"tools/{TOOL}.py"), str(small)]
    killed = subprocess.run([*arguments, "--workers", "1"], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    left = files_of(small / "labels")
    assert len([name for name in left if name.startswith(".")]) == 1
    whole = {name: content for name, content in left.items() if name.endswith(".png")}
    assert len(whole) == 3
    assert whole.items() <= complete.items()
    cut = small / "labels" / sorted(whole)[0]
    cut.write_bytes(cut.read_bytes()[:45])
    kept = small / "labels" / sorted(whole)[1]
    stamp = kept.stat().st_mtime_ns
    run_tool(TOOL, small)
    assert files_of(small / "labels") == complete
    assert kept.stat().st_mtime_ns == stamp


def version_1_1(path):
    path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(128) + bytes(64))


def write_s(path, values):
    """`S` as it is, of any shape and type."""
    with h5py.File(path, "w") as file:
        file["S"] = values


def truncated_image(path):
    """Half of a photo, whose head says its size, that of its label map."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    write_mat(path.parents[1] / f"annotations/{path.stem}.mat", np.ones((64, 64)))


def secret_of(path):
    """Six bytes beside the dataset that nobody may read."""
    secret = path.parents[2] / f"secret_of_{path.parents[1].name}"
    secret.write_bytes(bytes([2, 3, 4, 5, 6, 7]))
    return secret


def external_storage(path):
    with h5py.File(path, "w") as file:
        external = [(str(secret_of(path)), 0, 6)]
        file.create_dataset("S", (3, 2), np.uint8, external=external)


def external_link(path):
    write_mat(secret_of(path), np.full((2, 3), 5))
    with h5py.File(path, "w") as file:
        file["S"] = h5py.ExternalLink(str(secret_of(path)), "S")


def virtual(path):
    write_mat(secret_of(path), np.full((2, 3), 5))
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((3, 2), np.uint16)
        layout[:] = h5py.VirtualSource(str(secret_of(path)), "S", (3, 2))
        file.create_virtual_dataset("S", layout)


def declared(path, shape, **options):
    """Values that the file declares and does not hold."""
    with h5py.File(path, "w") as file:
        file.create_dataset("S", shape, np.uint16, fillvalue=1, **options)


def linked(path):
    target = secret_of(path).with_suffix(path.suffix)
    path.rename(target)
    path.symlink_to(target)


BROKEN = {
    "version 1.1": (
        "annotations/a.mat",
        version_1_1,
        r"annotations/a\.mat is of MATLAB 5, as v1\.1 is, wanted integers \(height, width\), "
        r"1 \(unlabelled\) to 172, in HDF5: v1\.1 has .* download v1\.0, http",
    ),
    "values of version 1.1": (
        "annotations/b.mat",
        lambda path: write_mat(path, [[0, 1, 92], [182, 5, 7]]),
        r"annotations/b\.mat has S with 0\.\.182, wanted",
    ),
    "173": (
        "annotations/a.mat",
        lambda path: write_mat(path, [[1, 1, 1], [1, 1, 173]]),
        r"annotations/a\.mat has S with 1\.\.173, wanted",
    ),
    "damaged": (
        "annotations/a.mat",
        lambda path: path.write_bytes(path.read_bytes()[:300]),
        r"annotations/a\.mat can not be read .* damaged",
    ),
    "damaged version 1.1": (
        "annotations/a.mat",
        lambda path: path.write_bytes(b"MATLAB 5.0 MAT-file"),
        r"annotations/a\.mat is of MATLAB 5",
    ),
    "not transposed": (
        "annotations/a.mat",
        lambda path: write_mat(path, [[1, 2], [3, 4], [5, 6]]),
        r"annotations/a\.mat is \(3, 2\) \(height, width\), its image \(2, 3\)",
    ),
    "no pixels": (
        "annotations/a.mat",
        lambda path: write_s(path, np.zeros((0, 0), np.uint16)),
        r"annotations/a\.mat is \(0, 0\) \(height, width\), its image \(2, 3\)",
    ),
    "no array": (
        "annotations/a.mat",
        lambda path: write_s(path, h5py.Empty("u2")),
        r"annotations/a\.mat has S of type uint16, wanted integers",
    ),
    "fractions": (
        "annotations/a.mat",
        lambda path: write_s(path, np.full((3, 2), 1.5)),
        r"annotations/a\.mat has S of type float64, wanted integers",
    ),
    "not a number": (
        "annotations/b.mat",
        lambda path: write_s(path, np.full((3, 2), np.nan, np.float32)),
        r"annotations/b\.mat has S of type float32, wanted integers",
    ),
    "list in Latin-1": (
        "imageLists/test.txt",
        lambda path: path.write_bytes("b\nü\n".encode("latin-1")),
        r"imageLists/test\.txt is no text in UTF-8 \(.*\); wanted names of images, one a line",
    ),
    "labels that are a file": (
        "labels",
        lambda path: path.write_text("mine"),
        r"/labels is a file, wanted a folder to write to",
    ),
    "truncated image": (
        "images/b.jpg",
        truncated_image,
        r"images/b\.jpg can not be read \(image file is truncated .*damaged",
    ),
    "external storage": ("annotations/a.mat", external_storage, "a.mat keeps S in other files"),
    "external link": ("annotations/a.mat", external_link, "a.mat has no S of its own"),
    "virtual": ("annotations/a.mat", virtual, "a.mat keeps S in other files"),
    "a group": (
        "annotations/a.mat",
        lambda path: h5py.File(path, "w").create_group("S"),
        "a.mat has S of type group",
    ),
    "40000x40000": (
        "annotations/a.mat",
        lambda path: declared(path, (40000, 40000), chunks=(1000, 1000)),
        r"a\.mat is \(40000, 40000\) \(height, width\), its image \(2, 3\)",
    ),
    "pieces of 40000x40000": (
        "annotations/a.mat",
        lambda path: declared(path, (3, 2), chunks=(40000, 40000), maxshape=(None, None)),
        r"a\.mat has S in pieces of \(40000, 40000\)",
    ),
    "linked annotation": ("annotations/a.mat", linked, r"a\.mat leads out of .*, to .*secret"),
    "linked image": ("images/a.jpg", linked, r"a\.jpg leads out of .*, to .*secret"),
    "linked folder": (
        "annotations",
        lambda path: path.symlink_to(path.rename(path.parents[1] / f"{path.parent.name}_moved")),
        r"a\.mat leads out of",
    ),
    "outside": (
        "imageLists/train.txt",
        lambda path: path.write_text("a\n../../outside\n"),
        r"train\.txt has '\.\./\.\./outside', wanted names of images",
    ),
    "absolute": (
        "imageLists/train.txt",
        lambda path: path.write_text("/tmp/outside\n"),
        r"train\.txt has '/tmp/outside', wanted names of images",
    ),
    "no annotation": ("annotations/b.mat", os.remove, r"annotations/b\.mat is missing"),
    "no image": ("images/b.jpg", os.remove, r"images/b\.jpg is missing"),
    "damaged image": (
        "images/b.jpg",
        lambda path: path.write_bytes(b"x"),
        r"images/b\.jpg can not be read",
    ),
    "no list": (
        "imageLists/test.txt",
        os.remove,
        r"imageLists/test\.txt is missing or empty: download http.*v1\.0\.zip",
    ),
    "no folder": (
        "annotations",
        lambda path: path.rename(path.with_name("other")),
        r"annotations is missing: download http.*v1\.0\.zip and unpack it",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_input_is_one_error_that_names_the_file(run_tool, small, case):
    name, change, message = BROKEN[case]
    change(small / name)
    assert re.search(message, run_tool(TOOL, small, ok=False))
    folder = small / "labels"
    assert not folder.is_dir() or set(files_of(folder)) <= {"a.png", "b.png"}


def test_missing_h5py_is_named(load_tool, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(SystemExit, match=r"^error: h5py is missing; .* pip install 'h5py>=3.7'$"):
        load_tool(TOOL)


def test_number_of_workers_is_checked(load_tool, small, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [TOOL, str(small), "--workers", "0"])
    with pytest.raises(SystemExit, match="2"):
        load_tool(TOOL).main()
    assert "--workers must be at least 1, got 0" in capsys.readouterr().err
