"""Semantic datasets that mmseg lacks, or has with other classes or labels.

Images end in .jpg, label maps in .png; both are named by `data_prefix`, and by the list in
`ann_file` where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS
from .tables import metainfo


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid, 11 classes, SegNet's split and size (360x480); 255 is ignored.

    `images/{split}/*.jpg` and `annotations/{split}/*.png`.
    """

    METAINFO = metainfo("camvid")


@DATASETS.register_module()
class NYUv2Dataset(BaseSegDataset):
    """NYU Depth v2 (colour only), 40 classes, the official split; 255 is ignored.

    `images/{train,val}/*.jpg` and `annotations/{train,val}/*.png`. The colours are Pascal VOC's.
    """

    METAINFO = metainfo("nyuv2")


@DATASETS.register_module()
class COCOStuff10KDataset(BaseSegDataset):
    """COCO-Stuff-10K v1.0, 80 things, then 91 stuff classes; 255 is ignored.

    `images/*.jpg` of the download and `labels/*.png` of `tools/prepare_coco_stuff_10k.py`;
    `ann_file` is `imageLists/train.txt` or `imageLists/test.txt`.
    """

    METAINFO = metainfo("coco_stuff_10k")


@DATASETS.register_module()
class ADE20KFullDataset(BaseSegDataset):
    """ADE20K_2021_17_01, 847 classes (paper, appendix A.1), label maps of 16 bits.

    `images_512/{training,validation}/*.jpg` and `labels_512/{training,validation}/*.png` of
    `tools/prepare_ade20k_full.py`. The metadata's `category_ids` are the classes' numbers in the
    download: 1 + place in the 3688 `objectnames` of its index.

    Raises:
        ValueError: `metainfo` asks for some of the classes only; mmseg would call the others 255,
            which is a class here.
    """

    METAINFO = metainfo("ade20k_full")

    def __init__(self, ignore_index: int = 65535, **kwargs) -> None:
        super().__init__(ignore_index=ignore_index, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence | None = None) -> None:
        if new_classes is not None and list(new_classes) != cls.METAINFO["classes"]:
            raise ValueError(
                f"ADE20KFullDataset has {len(cls.METAINFO['classes'])} classes and can not take "
                f"{len(new_classes)} others from metainfo: mmseg labels what is left out 255, "
                "which is a class here"
            )


@DATASETS.register_module()
class MapillaryDataset(BaseSegDataset):
    """Mapillary Vistas v1.2: 65 classes and 65, which is ignored ("Unlabeled").

    `{training,validation}/images/*.jpg` and `{training,validation}/labels/*.png` of the download;
    in that of v2.0, labels of v1.2 are in `{training,validation}/v1.2/labels`.
    """

    METAINFO = metainfo("mapillary")

    def __init__(self, ignore_index: int = 65, **kwargs) -> None:
        super().__init__(ignore_index=ignore_index, **kwargs)
