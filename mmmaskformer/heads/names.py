"""Names of classes for models that mmseg's and mmdet's `init_...` functions make."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Any

from ..registry import DATASETS


class ClassNames:
    """A model whose `dataset_meta` always has as many `classes` as its `decode_head`.

    Where a checkpoint has no names, mmseg's and mmdet's functions set those of Cityscapes or COCO,
    whatever the model. Names of another number are therefore refused: those of the test dataset
    of the model's `cfg` take their place, or numbers where there are none.
    """

    @property
    def dataset_meta(self) -> dict | None:
        """`classes` and `palette`, and what else the checkpoint says of its dataset."""
        meta = vars(self).get("_dataset_meta")
        if meta is not None and vars(self)["_numbered"]:
            meta.update(names_in(vars(self).get("cfg") or {}, self.decode_head.num_classes))
        return meta

    @dataset_meta.setter
    def dataset_meta(self, meta: Mapping | None) -> None:
        count = self.decode_head.num_classes
        self._numbered = len((meta or {}).get("classes") or ()) != count
        self._dataset_meta = numbers(count) if self._numbered else dict(meta or {})


def numbers(count: int) -> dict:
    """Names and colours for classes whose names are not known."""
    colors = [colorsys.hsv_to_rgb(i * 0.618 % 1, 0.5 + i % 3 / 4, 1) for i in range(count)]
    return {
        "classes": tuple(f"class {i}" for i in range(count)),
        "palette": [[round(255 * part) for part in color] for color in colors],
    }


def names_in(cfg: Mapping, count: int) -> dict[str, Any]:
    """`classes`, `palette` and, where the dataset has them, `isthing` and `category_ids` that a
    config's test dataset states without reading a file, if there are `count` classes."""
    dataset = (cfg.get("test_dataloader") or {}).get("dataset") or {}
    registered = getattr(DATASETS.get(str(dataset.get("type"))), "METAINFO", {})
    meta = {**registered, **(dataset.get("metainfo") or {})}
    keys = ("classes", "palette", "isthing", "category_ids")
    found = {key: meta[key] for key in keys if isinstance(meta.get(key), (list, tuple))}
    return found if len(found.get("classes", ())) == count else {}
