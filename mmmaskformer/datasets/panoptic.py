"""Panoptic datasets in COCO's format, for mmseg's pipelines."""

from __future__ import annotations

import os
from collections.abc import Iterable

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS
from ..utils.text import listing
from .panoptic_format import contiguous_segments, match_annotations, read_panoptic_json
from .shapes import make_shapes
from .tables import metainfo as table


@DATASETS.register_module()
class PanopticDataset(BaseSegDataset):
    """Any panoptic dataset in COCO's format: pngs of segment ids, one json.

    Classes are those of METAINFO or of the argument `metainfo`; without either, those of the
    json, in its order. The metadata holds, one entry a class, `classes`, `palette`, `isthing`
    and `category_ids` (the json's). A json's categories are known by their names or, where any
    name is strange, by their ids. Samples hold img_path, seg_map_path (the panoptic png), img_id
    and segments_info: {id, category_id (class index), iscrowd, area} of each segment, and
    num_classes. In `test_mode` the json may have no annotations (COCO's test-dev); samples then
    have img_path and img_id only.

    Args:
        ann_file: the json.
        data_prefix: folders of the images (`img_path`) and of the pngs (`seg_map_path`).
        metainfo: as in mmseg; `isthing` and `category_ids` may be left to the json.
        things_first: number the things from 0 and stuff after them, as heads of mmdet do.

    Raises:
        FileNotFoundError: images or pngs that the json names are missing.
        ValueError: the json is malformed or does not fit the classes; names file and ids.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str | None = None,
        metainfo: dict | None = None,
        backend_args: dict | None = None,
        *,
        things_first: bool = False,
        **kwargs,
    ) -> None:
        self._content = None
        own = self._load_metainfo(metainfo)
        if "classes" not in own or "isthing" not in own:
            path = os.path.join(data_root or "", ann_file)
            self._content = read_panoptic_json(path, backend_args, not kwargs.get("test_mode"))
            metainfo = {**json_metainfo(self._content, own.get("classes"), path), **own}
        if things_first:
            metainfo = order_things_first({**own, **(metainfo or {})})
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            metainfo=metainfo,
            backend_args=backend_args,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """One dict per annotation of the json, in its order."""
        content = self._content or read_panoptic_json(
            self.ann_file, self.backend_args, annotated=not self.test_mode
        )
        self._content = None  # large, and not needed again
        classes = category_classes(content["categories"], self._metainfo, self.ann_file)
        self._metainfo["category_ids"] = written_ids(classes, self._metainfo)
        names = self._metainfo["classes"]
        images, maps = (self.data_prefix.get(k) or "" for k in ("img_path", "seg_map_path"))
        if self.test_mode and not content["annotations"]:
            samples = [
                dict(
                    img_path=os.path.join(images, self.image_file(image)),
                    img_id=image["id"],
                    seg_fields=[],
                )
                for image in content["images"]
            ]
        else:
            samples = [
                dict(
                    img_path=os.path.join(images, self.image_file(image)),
                    seg_map_path=os.path.join(maps, annotation["file_name"]),
                    img_id=image["id"],
                    segments_info=contiguous_segments(annotation, classes, self.ann_file),
                    num_classes=len(names),
                    label_map=None,
                    reduce_zero_label=False,
                    seg_fields=[],
                )
                for image, annotation in match_annotations(content, self.ann_file)
            ]
        if self.backend_args is None:
            for key in ("img_path", "seg_map_path"):
                check_files([sample[key] for sample in samples if key in sample], self.ann_file)
        return samples

    def image_file(self, image: dict) -> str:
        """Path of an image under the images' folder, from its entry in the json."""
        return image["file_name"]


@DATASETS.register_module()
class COCOPanopticDataset(PanopticDataset):
    """COCO panoptic 2017, 133 classes: things 0..79, then stuff."""

    METAINFO = table("coco_panoptic")


@DATASETS.register_module()
class ADE20KPanopticDataset(PanopticDataset):
    """ADE20K as `tools/prepare_ade20k_panoptic.py` makes it: 150 classes in SceneParse150's
    order, of which the 100 of the instance challenge are things."""

    METAINFO = table("ade20k")


@DATASETS.register_module()
class CityscapesPanopticDataset(PanopticDataset):
    """Cityscapes as cityscapesScripts' createPanopticImgs writes it: 11 stuff, 8 things.

    Its json names images by the label files; they are found as {city}/{id}_leftImg8bit.png.
    """

    METAINFO = table("cityscapes")

    def image_file(self, image: dict) -> str:
        return f"{str(image['id']).split('_')[0]}/{image['id']}_leftImg8bit.png"


@DATASETS.register_module()
class ShapesPanopticDataset(PanopticDataset):
    """The generated dataset; `data_root` is filled when it does not hold it yet."""

    METAINFO = table("shapes")

    def __init__(self, ann_file: str, data_root: str = "data/shapes", **kwargs) -> None:
        make_shapes(data_root)
        super().__init__(ann_file, data_root=data_root, **kwargs)


def order_things_first(metainfo: dict) -> dict:
    """The metadata with its classes in another order: things, then stuff, each as they were."""
    order = sorted(range(len(metainfo["isthing"])), key=lambda k: not metainfo["isthing"][k])
    listed = ("classes", "isthing", "category_ids", "palette")
    return {
        key: type(values)(values[k] for k in order) if key in listed and values else values
        for key, values in metainfo.items()
    }


def json_metainfo(content: dict, names: Iterable[str] | None, path: str) -> dict:
    """`classes`, `isthing`, `category_ids` and, if given, `palette` of a json's categories.

    Args:
        names: the classes in the wanted order; None: all, in the json's order.

    Raises:
        ValueError: a name that no category has.
    """
    by_name = {category["name"]: category for category in content["categories"]}
    names = list(by_name if names is None else names)
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ValueError(f"{path} has no categories named {listing(unknown)}")
    chosen = [by_name[name] for name in names]
    found = {
        "classes": tuple(names),
        "isthing": [bool(category["isthing"]) for category in chosen],
        "category_ids": [category["id"] for category in chosen],
    }
    if all("color" in category for category in chosen):
        found["palette"] = [list(category["color"]) for category in chosen]
    return found


def category_classes(categories: list[dict], metainfo: dict, path: str) -> dict[int, int]:
    """Category id of a json -> class index: by the names or, if any is strange, by the ids.

    Raises:
        ValueError: the metadata's lists differ in length, neither names nor ids are all known,
            or thing and stuff are not as in the metadata.
    """
    names, things = list(metainfo["classes"]), metainfo["isthing"]
    ids = metainfo.get("category_ids") or []
    if len(things) != len(names) or (ids and len(ids) != len(names)):
        raise ValueError(
            f"metainfo has {len(names)} classes, {len(things)} isthing, {len(ids)} category_ids"
        )
    known, key = ({name: i for i, name in enumerate(names)}, "name")
    if any(category["name"] not in known for category in categories):
        by_id = {category_id: i for i, category_id in enumerate(ids)}
        if any(category["id"] not in by_id for category in categories):
            strange = [(c["id"], c["name"]) for c in categories if c["name"] not in known]
            raise ValueError(
                f"{path}: categories (id, name) that are not among the dataset's {len(names)} "
                f"classes, neither by name nor by id: {listing(strange)}"
            )
        known, key = by_id, "id"
    classes = {category["id"]: known[category[key]] for category in categories}
    wrong = [
        (c["id"], c["name"])
        for c in categories
        if bool(c["isthing"]) != bool(things[classes[c["id"]]])
    ]
    if wrong:
        raise ValueError(
            f"{path}: categories (id, name) whose `isthing` differs from the metainfo's: "
            f"{listing(wrong)}"
        )
    return classes


def written_ids(classes: dict[int, int], metainfo: dict) -> list[int | None]:
    """The category id with which predictions of each class are written: the json's, whatever the
    metadata's are. A class that the json lacks has the metadata's if the json numbers its classes
    alike, else None.

    Args:
        classes: category id of the json -> class index.
    """
    ids = {label: category for category, label in classes.items()}
    own = metainfo.get("category_ids") or [None] * len(metainfo["classes"])
    alike = all(own[label] == category for label, category in ids.items())
    return [ids.get(label, own[label] if alike else None) for label in range(len(own))]


def check_files(paths: list[str], named_in: str) -> None:
    """Raise one FileNotFoundError for the files that are missing; lists each folder once."""
    folders: dict[str, set] = {}
    missing = []
    for path in paths:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = set(os.listdir(folder)) if os.path.isdir(folder) else set()
        if name not in folders[folder]:
            missing.append(path)
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(paths)} files that {named_in} names are missing: "
            f"{listing(missing, most=3)}"
        )
