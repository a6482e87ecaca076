"""COCO panoptic files for the tests."""

import json

import numpy as np
from PIL import Image

CATEGORIES = [
    {"id": 1, "name": "cat", "isthing": 1},
    {"id": 4, "name": "dog", "isthing": 1},
    {"id": 9, "name": "sky", "isthing": 0},
]


def write_png(path, ids):
    """Ids (H, W) as R + 256 G + 65536 B."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    Image.fromarray(colors).save(path)


def write_side(folder, name, images, categories=CATEGORIES):
    """`{name}.json` and `{name}/*.png` from [(ids, segments_info)]; the path of the json."""
    annotations = []
    for index, (ids, segments) in enumerate(images):
        write_png(folder / name / f"{index:03d}.png", ids)
        annotations.append(
            {"image_id": index, "file_name": f"{index:03d}.png", "segments_info": segments}
        )
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"annotations": annotations, "categories": categories}))
    return path


def segment(number, category, area=None, crowd=0):
    extra = {} if area is None else {"area": area, "iscrowd": crowd}
    return {"id": number, "category_id": category, **extra}


def example(folder, images=1):
    """Ground truth and prediction: cat with IoU 5 / 6, dog and sky perfect."""
    gt = np.repeat([70000, 300, 5], [60, 60, 100])[None].repeat(2, 0)
    pred = np.repeat([0, 8, 300, 9], [10, 50, 60, 100])[None].repeat(2, 0)
    truth = [segment(70000, 1, 120), segment(300, 4, 120), segment(5, 9, 200)]
    guess = [segment(8, 1), segment(300, 4), segment(9, 9)]
    return (
        write_side(folder, "gt", [(gt, truth)] * images),
        write_side(folder, "pred", [(pred, guess)] * images),
    )


def edit(path, change):
    """Rewrite a json file; `change` gets its content."""
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
