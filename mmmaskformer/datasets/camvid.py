"""CamVid, 11 classes, SegNet's split and size (360x480)."""

from mmseg.datasets import BaseSegDataset

from ..registry import DATASETS
from .tables import metainfo


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """`images/{split}/*.jpg` and `annotations/{split}/*.png`, labels 0..10, 255 ignored."""

    METAINFO = metainfo("camvid")

    def __init__(self, img_suffix: str = ".jpg", seg_map_suffix: str = ".png", **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)
