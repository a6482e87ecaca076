"""The preparation tools."""

import os
import pickle

import numpy as np

from tests.bad_inputs.row import Row
from tests.bad_inputs.tables.changes import cut, every, fifo, folder, image, link, remove, text

PHOTO = np.zeros((2, 3, 3), np.uint8)


def hdf5(name, **options):
    """`S` of an annotation with other options of `create_dataset`."""

    def change(root):
        import h5py

        with h5py.File(root / name, "w") as file:
            file.create_dataset("S", **{"shape": (3, 2), "dtype": np.uint16, **options})

    return change


def outside_link(name):
    def change(root):
        import h5py

        with h5py.File(root / name, "w") as file:
            file["S"] = h5py.ExternalLink("/etc/passwd", "S")

    return change


CAMVID = "camvid out --workers 1"
STUFF, ADE, FULL = "stuff --workers 1", "ade --workers 1", "full --workers 1"
MAT = "stuff/annotations/a.mat"
SEG = "full/images/ADE/training/home/ADE_train_1_seg.png"

CASES = [
    ("camvid", "good", CAMVID, "ok", None),
    ("camvid", "missing", "nowhere out", "nowhere", None),
    ("camvid", "missing", "camvid", "dst", None),
    ("camvid", "bad value", "camvid out --workers 0", "workers", None),
    ("camvid", "bad value", "camvid own/classes.txt", "classes.txt", None),
    ("camvid", "bad value", "camvid /proc/x", "/proc/x", None),
    ("camvid", "missing", CAMVID, "annot/a.png", remove("camvid/valannot/a.png")),
    ("camvid", "missing", CAMVID, "camvid/test", remove("camvid/test")),
    (
        "camvid",
        "contradictory",
        CAMVID,
        "annot/a.png",
        image("camvid/valannot/a.png", PHOTO[:1, :, 0]),
    ),
    ("camvid", "bad value", CAMVID, "0..11", image("camvid/valannot/a.png", PHOTO[..., 0] + 12)),
    ("camvid", "bad type", CAMVID, "channel", image("camvid/valannot/a.png", PHOTO)),
    ("camvid", "bad type", CAMVID, "RGB", image("camvid/val/a.png", PHOTO[..., 0])),
    ("camvid", "unreadable", CAMVID, "val/a.png", cut("camvid/val/a.png")),
    ("camvid", "hostile", CAMVID, "leads out", link("camvid/val/a.png", "/etc/passwd")),
    ("camvid", "hostile", CAMVID, "val/a.png", fifo("camvid/val/a.png")),
    ("camvid", "contradictory", CAMVID, "a.jpg", text("out/images/val/a.jpg", "mine")),
    ("camvid", "contradictory", CAMVID, "a.png", text("out/annotations/val/a.png", "mine")),
    ("camvid", "hostile", CAMVID, "leads out", every(folder("out"), link("out/images", "/tmp"))),
    ("coco_stuff_10k", "good", STUFF, "ok: 1 label maps of test", None),
    ("coco_stuff_10k", "missing", "nowhere", "nowhere", None),
    ("coco_stuff_10k", "bad type", "stuff --workers two", "workers", None),
    ("coco_stuff_10k", "missing", STUFF, "annotations", remove("stuff/annotations")),
    ("coco_stuff_10k", "missing", STUFF, "a.mat is missing", remove(MAT)),
    ("coco_stuff_10k", "missing", STUFF, "a.jpg is missing", remove("stuff/images/a.jpg")),
    ("coco_stuff_10k", "unreadable", STUFF, "a.mat", cut(MAT)),
    ("coco_stuff_10k", "unreadable", STUFF, "a.jpg", cut("stuff/images/a.jpg")),
    (
        "coco_stuff_10k",
        "unreadable",
        STUFF,
        "train.txt",
        text("stuff/imageLists/train.txt", b"\xe9"),
    ),
    ("coco_stuff_10k", "bad value", STUFF, "train.txt", text("stuff/imageLists/train.txt", "\n")),
    ("coco_stuff_10k", "hostile", STUFF, r"\.\./x", text("stuff/imageLists/train.txt", "../x")),
    ("coco_stuff_10k", "hostile", STUFF, "/tmp/x", text("stuff/imageLists/train.txt", "/tmp/x")),
    ("coco_stuff_10k", "bad value", STUFF, "MATLAB 5", text(MAT, "MATLAB 5.0 MAT-file")),
    ("coco_stuff_10k", "bad value", STUFF, "0..0", hdf5(MAT)),
    ("coco_stuff_10k", "bad type", STUFF, "float32", hdf5(MAT, dtype=np.float32)),
    ("coco_stuff_10k", "contradictory", STUFF, r"\(3, 2\)", hdf5(MAT, shape=(2, 3))),
    ("coco_stuff_10k", "hostile", STUFF, "40000", hdf5(MAT, shape=(40000, 40000), chunks=(99, 99))),
    (
        "coco_stuff_10k",
        "hostile",
        STUFF,
        "other files",
        hdf5(MAT, dtype=np.uint8, external=[("/etc/passwd", 0, 6)]),
    ),
    ("coco_stuff_10k", "hostile", STUFF, "of its own", outside_link(MAT)),
    ("coco_stuff_10k", "hostile", STUFF, "leads out", link(MAT, "/etc/passwd")),
    ("coco_stuff_10k", "contradictory", STUFF, "labels is a file", text("stuff/labels", "mine")),
    ("coco_stuff_10k", "contradictory", STUFF, "a.png", text("stuff/labels/a.png", "mine")),
    ("ade20k_panoptic", "good", ADE, "ok: 1 images", None),
    ("ade20k_panoptic", "missing", "nowhere", "nowhere", None),
    ("ade20k_panoptic", "missing", ADE, "instance", remove("ade/annotations_instance")),
    (
        "ade20k_panoptic",
        "missing",
        ADE,
        "a.png is missing",
        remove("ade/annotations/training/a.png"),
    ),
    ("ade20k_panoptic", "unreadable", ADE, "a.png", cut("ade/annotations/training/a.png")),
    (
        "ade20k_panoptic",
        "contradictory",
        ADE,
        "a.png",
        image("ade/annotations/training/a.png", PHOTO[:1, :, 0]),
    ),
    (
        "ade20k_panoptic",
        "bad value",
        ADE,
        "0..150",
        image("ade/annotations/training/a.png", PHOTO[..., 0] + 151),
    ),
    (
        "ade20k_panoptic",
        "bad type",
        ADE,
        "channel",
        image("ade/annotations_instance/training/a.png", PHOTO[..., 0]),
    ),
    (
        "ade20k_panoptic",
        "contradictory",
        ADE,
        "train.json",
        text("ade/ade20k_panoptic_train.json", "[]"),
    ),
    ("ade20k_panoptic", "hostile", ADE, "leads out", link("ade/annotations/training", "/etc")),
    ("ade20k_full", "good", FULL, "ok: training: 1 label maps", None),
    ("ade20k_full", "missing", "nowhere", "nowhere", None),
    ("ade20k_full", "missing", FULL, "_seg.png is missing", remove(SEG)),
    ("ade20k_full", "missing", FULL, "validation", remove("full/images/ADE/validation")),
    ("ade20k_full", "unreadable", FULL, "_seg.png", cut(SEG)),
    ("ade20k_full", "contradictory", FULL, "_seg.png", image(SEG, PHOTO[:1])),
    ("ade20k_full", "bad type", FULL, "channel", image(SEG, PHOTO[..., 0])),
    ("ade20k_full", "unreadable", FULL, "index_ade20k.pkl", text("full/index_ade20k.pkl", "x")),
    (
        "ade20k_full",
        "bad type",
        FULL,
        "index_ade20k.pkl",
        text("full/index_ade20k.pkl", pickle.dumps([1])),
    ),
    (
        "ade20k_full",
        "hostile",
        FULL,
        "index_ade20k.pkl",
        text("full/index_ade20k.pkl", pickle.dumps({"objectnames": os.system})),
    ),
    (
        "ade20k_full",
        "hostile",
        FULL,
        "index_ade20k.pkl",
        text("full/index_ade20k.pkl", b"\x80\x05\x96" + (20 << 30).to_bytes(8, "little")),
    ),
    (
        "ade20k_full",
        "contradictory",
        FULL,
        "should be",
        text(
            "full/index_ade20k.pkl",
            pickle.dumps({"objectnames": ["x"] * 3688, "folder": [], "filename": []}),
        ),
    ),
]
"""Tool, kind, arguments, words, change."""

TITLES = [f"{n}, {case[2]} ({case[3]})" for n, case in enumerate(CASES)]
ROWS = [
    Row(f"prepare_{tool}", kind, arguments, words, change, name=title)
    for (tool, kind, arguments, words, change), title in zip(CASES, TITLES, strict=True)
]
