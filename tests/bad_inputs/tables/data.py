"""Datasets: images, label maps, lists of classes, panoptic json; for check_dataset and training."""

import numpy as np

from tests.bad_inputs.row import Row
from tests.bad_inputs.tables.changes import (
    cut,
    edit,
    empty,
    every,
    fifo,
    folder,
    image,
    link,
    remove,
    text,
)

LABELS, IMAGE = "own/annotations/train/000.png", "own/images/train/000.jpg"
CLASSES, JSON, MAP = "own/classes.txt", "pan/train.json", "pan/panoptic/train/000.png"
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)

FOLDER = {
    "no classes.txt": ("missing", remove(CLASSES), "classes.txt"),
    "empty classes.txt": ("bad value", text(CLASSES, "\n \n"), "classes.txt is empty"),
    "a name twice": ("contradictory", text(CLASSES, "wall\nsky\nwall\n"), "classes.txt.*wall"),
    "latin-1 classes.txt": ("unreadable", text(CLASSES, b"w\xe4ll\nsky\ndog\n"), "classes.txt"),
    "two classes": ("contradictory", text(CLASSES, "wall\nsky\n"), "3.*2|2.*3"),
    "four classes": ("contradictory", text(CLASSES, "wall\nsky\ndog\ncat\n"), "4.*3|3.*4"),
    "no images": ("missing", empty("own/images/train"), "images/train|no images|empty"),
    "no folder of images": ("missing", remove("own/images/train"), "images/train"),
    "no folder of labels": ("missing", remove("own/annotations/train"), "annotations/train"),
    "a label map is missing": ("missing", remove(LABELS), "000.png"),
    "an image is missing": ("missing", every(remove(IMAGE)), "ok|000.png"),
    "half a label map": ("unreadable", cut(LABELS), "000.png"),
    "half an image": ("unreadable", cut(IMAGE), "000.jpg"),
    "an empty image": ("unreadable", text(IMAGE, ""), "000.jpg"),
    "an empty label map": ("unreadable", text(LABELS, ""), "000.png"),
    "text as image": ("unreadable", text(IMAGE, "<html>404</html>"), "000.jpg"),
    "text as label map": ("unreadable", text(LABELS, "<html>404</html>"), "000.png"),
    "a folder as label map": ("bad type", every(remove(LABELS), folder(LABELS)), "000.png"),
    "a fifo as label map": ("hostile", fifo(LABELS), "000.png"),
    "a link to nothing": ("missing", link(LABELS, "nowhere.png"), "000.png"),
    "a label too large": (
        "bad value",
        image(LABELS, lambda labels: np.where(labels == 1, 7, labels)),
        "000.png.*7|label 7",
    ),
    "labels from 1": ("bad value", image(LABELS, lambda labels: labels + 1), "000.png|label 3"),
    "masks of 0 and 255": (
        "bad value",
        every(
            *(
                image(f"own/annotations/{split}/{i:03d}.png", (NOISE > 128).astype(np.uint8) * 255)
                for split in ("train", "val")
                for i in range(2)
            )
        ),
        "255",
    ),
    "label maps of another size": ("contradictory", image(LABELS, NOISE[:32] % 3), "000.png|32"),
    "coloured label maps": (
        "bad type",
        image(LABELS, np.dstack([NOISE, NOISE, NOISE])),
        "000.png|channel",
    ),
    "16-bit label maps": ("bad type", image(LABELS, NOISE.astype(np.uint16) * 9), "000.png|label"),
    "float label maps": (
        "bad type",
        image(LABELS, NOISE.astype(np.float32) / 9, "TIFF"),
        "000.png",
    ),
    "all ignored": ("good", image(LABELS, np.full((64, 64), 255, np.uint8)), "ok"),
    "grey images": ("good", image(IMAGE, NOISE), "ok"),
    "images with alpha": ("good", image(IMAGE, np.dstack([NOISE] * 4), "PNG"), "ok"),
    "16-bit images": ("bad type", image(IMAGE, NOISE.astype(np.uint16) * 257, "PNG"), "ok|000.jpg"),
    "float images": ("bad type", image(IMAGE, NOISE / np.float32(255), "TIFF"), "ok|000.jpg"),
    "an image of 1 pixel": (
        "bad value",
        every(image(IMAGE, NOISE[:1, :1]), image(LABELS, NOISE[:1, :1] % 3)),
        "ok|000",
    ),
    "no labels of val": ("missing", empty("own/annotations/val"), "annotations/val|00"),
    "no images of val": ("missing", empty("own/images/val"), "images/val|no images|empty"),
    "suffixes mixed": (
        "contradictory",
        lambda root: (root / IMAGE).rename((root / IMAGE).with_suffix(".jpeg")),
        "ok: 1 images in .* end in .jpeg and are left out",
    ),
}
"""Name -> kind, change, words; "ok|words": accepted, or one line with the words."""


def segments(content, index=0):
    return content["annotations"][index]["segments_info"]


def categories(**changes):
    return lambda content: content["categories"][0].update(changes)


def segment(**changes):
    return lambda content: segments(content)[0].update(changes)


PANOPTIC = {
    "no json": ("missing", remove(JSON), "train.json"),
    "an empty json": ("unreadable", text(JSON, ""), "train.json"),
    "half a json": ("unreadable", cut(JSON), "train.json"),
    "json of a list": ("bad type", text(JSON, "[1, 2]"), "train.json"),
    "json of null": ("bad type", text(JSON, "null"), "train.json"),
    "json in latin-1": ("unreadable", text(JSON, b'{"images": "\xe9"}'), "train.json"),
    "deep json": ("hostile", text(JSON, "[" * 100000), "train.json"),
    "deep in an annotation": (
        "hostile",
        text(JSON, '{"images": [], "annotations": ' + "[" * 50000 + "]" * 50000 + "}"),
        "train.json",
    ),
    "no images": ("missing", edit(JSON, lambda c: c.pop("images") and None), "train.json.*images"),
    "no annotations": (
        "missing",
        edit(JSON, lambda c: c.pop("annotations") and None),
        "train.json.*annotations",
    ),
    "no categories": (
        "missing",
        edit(JSON, lambda c: c.pop("categories") and None),
        "train.json.*categories",
    ),
    "empty lists": (
        "bad value",
        edit(JSON, lambda c: dict(c, images=[], annotations=[])),
        "train.json|no images|empty",
    ),
    "images of text": ("bad type", edit(JSON, lambda c: dict(c, images="a.jpg")), "train.json"),
    "annotations of numbers": (
        "bad type",
        edit(JSON, lambda c: dict(c, annotations=[1, 2])),
        "train.json",
    ),
    "a list as id": ("bad type", edit(JSON, segment(id=[1])), "train.json.*id|000.png.*id"),
    "a negative id": ("bad value", edit(JSON, segment(id=-1)), "id"),
    "true as id": ("bad type", edit(JSON, segment(id=True)), "id"),
    "an id of 2**24": ("bad value", edit(JSON, segment(id=1 << 24)), "id"),
    "a fraction as id": ("bad type", edit(JSON, segment(id=1.5)), "id"),
    "text as area": ("bad type", edit(JSON, segment(area="large")), "area"),
    "infinite area": ("bad value", edit(JSON, segment(area=float("inf"))), "area"),
    "a quarter of the area": ("contradictory", edit(JSON, segment(area=1)), "ok|area"),
    "a list as category": ("bad type", edit(JSON, segment(category_id=[3])), "category"),
    "an unknown category": ("bad value", edit(JSON, segment(category_id=99)), "category.*99"),
    "no category": (
        "missing",
        edit(JSON, lambda c: segments(c)[0].pop("category_id") and None),
        "category_id",
    ),
    "iscrowd of text": ("bad type", edit(JSON, segment(iscrowd="no")), "iscrowd"),
    "no segments": (
        "missing",
        edit(JSON, lambda c: c["annotations"][0].pop("segments_info") and None),
        "segments_info",
    ),
    "a segment twice": (
        "contradictory",
        edit(JSON, lambda c: segments(c).append(dict(segments(c)[0]))),
        "id",
    ),
    "a segment that the map lacks": (
        "contradictory",
        edit(JSON, lambda c: segments(c).append(dict(segments(c)[0], id=77))),
        "77",
    ),
    "a segment that the json lacks": (
        "contradictory",
        edit(JSON, lambda c: segments(c).pop() and None),
        "000.png|id",
    ),
    "null as a name": ("bad type", edit(JSON, categories(name=None)), "name"),
    "a category twice": (
        "contradictory",
        edit(JSON, lambda c: c["categories"].append(c["categories"][0])),
        "categor",
    ),
    "isthing of text": ("bad type", edit(JSON, categories(isthing="no")), "isthing"),
    "other things than the head": (
        "contradictory",
        edit(JSON, categories(isthing=0)),
        "isthing|thing",
    ),
    "a colour of 999": ("bad value", edit(JSON, categories(color=[1, 2, 999])), "color"),
    "a colour of text": ("bad type", edit(JSON, categories(color="red")), "color"),
    "a category more": (
        "contradictory",
        edit(JSON, lambda c: c["categories"].append({"id": 1, "name": "x", "isthing": 1})),
        "classes|categor|4",
    ),
    "file_name of a number": (
        "bad type",
        edit(JSON, lambda c: c["annotations"][0].update(file_name=3)),
        "file_name",
    ),
    "file_name outside": (
        "hostile",
        edit(JSON, lambda c: c["annotations"][0].update(file_name="../../../nowhere.png")),
        "nowhere.png",
    ),
    "an image of no annotation": (
        "contradictory",
        edit(JSON, lambda c: c["images"].append({"id": 9, "file_name": "9.jpg"})),
        "9",
    ),
    "an annotation of no image": (
        "contradictory",
        edit(JSON, lambda c: c["annotations"][0].update(image_id=12345)),
        "12345",
    ),
    "an image twice": (
        "contradictory",
        edit(JSON, lambda c: c["images"].append(c["images"][0])),
        "id|twice|more than once",
    ),
    "no map": ("missing", remove(MAP), "000.png"),
    "half a map": ("unreadable", cut(MAP), "000.png"),
    "a grey map": ("bad type", image(MAP, NOISE % 3), "000.png"),
    "a map of another size": ("contradictory", image(MAP, lambda ids: ids[:32]), "000.png|32"),
    "no image": ("missing", remove("pan/images/train/000.jpg"), "000.jpg"),
}

ROWS = [
    Row(tool, kind, arguments.format(data), words, change, name=f"{data} data: {title}")
    for tool, arguments, step in (
        ("check_dataset", "{0}.py --workers 1", 1),
        ("train", "{0}.py --work-dir runs/a", 3),
    )
    for data, cases in (("own", FOLDER), ("pan", PANOPTIC))
    for title, (kind, change, words) in list(cases.items())[::step]
]
