"""Small generated data in the layouts of published datasets, for tests that need no photograph."""

import json

import numpy as np
from PIL import Image

from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.utils.png_ids import ids_to_colors

SIZE = (240, 320)


def make_ade20k(root, sizes=(("training", 4), ("validation", 3))):
    """SceneParse150 as it is unpacked, images of noise; together the labels are 0 to 150."""
    for split, images in sizes:
        for folder in ("images", "annotations"):
            (root / folder / split).mkdir(parents=True)
        for number in range(images):
            noise = np.random.default_rng(number).integers(0, 256, (40, 151, 3), dtype=np.uint8)
            labels = np.arange(151, dtype=np.uint8)[None].repeat(40, 0)
            Image.fromarray(noise).save(root / f"images/{split}/ADE_{number}.jpg")
            Image.fromarray(labels).save(root / f"annotations/{split}/ADE_{number}.png")
    return root


def coco_categories():
    meta = metainfo("coco_panoptic")
    rows = zip(meta["category_ids"], meta["classes"], meta["isthing"], strict=True)
    return [{"id": i, "name": name, "isthing": int(thing)} for i, name, thing in rows]


def coco_segments(generator, categories):
    """A map of ids with 12 blocks of 80x80 pixels: void, a crowd and ten segments."""
    numbers = generator.choice(256**3 - 1, 11, replace=False) + 1
    chosen = [categories[0], *(categories[i] for i in generator.choice(len(categories), 10))]
    segments = [
        {"id": int(n), "category_id": c["id"], "area": 6400, "iscrowd": 0, "bbox": [0, 0, 80, 80]}
        for n, c in zip(numbers, chosen, strict=True)
    ]
    segments[0]["iscrowd"] = 1
    blocks = generator.permutation([0, *numbers]).reshape(3, 4)
    return blocks.repeat(80, 0).repeat(80, 1), segments


def make_coco(root, images=3):
    """COCO panoptic 2017 as it is unpacked, each split of `images` images of noise."""
    categories, generator = coco_categories(), np.random.default_rng(0)
    (root / "annotations").mkdir(parents=True)
    for split in ("train2017", "val2017"):
        content = {"images": [], "annotations": [], "categories": categories}
        for folder in (split, f"panoptic_{split}"):
            (root / folder).mkdir()
        for number in range(1, images + 1):
            ids, segments = coco_segments(generator, categories)
            stem = f"{number:012d}"
            noise = generator.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            Image.fromarray(noise).save(root / split / f"{stem}.jpg")
            Image.fromarray(ids_to_colors(ids)).save(root / f"panoptic_{split}/{stem}.png")
            image = {"id": number, "file_name": f"{stem}.jpg", "height": SIZE[0], "width": SIZE[1]}
            content["images"].append(image)
            annotation = {"image_id": number, "file_name": f"{stem}.png"}
            content["annotations"].append({**annotation, "segments_info": segments})
        path = root / f"annotations/panoptic_{split}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
    return root
