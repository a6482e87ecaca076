"""Panoptic pictures for the visualization hooks of mmseg and mmdet."""

from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np
from mmdet.visualization import DetLocalVisualizer
from mmengine.dist import master_only
from mmengine.visualization import LocalVisBackend, Visualizer
from mmseg.visualization import SegLocalVisualizer

from ..registry import VISUALIZERS
from .panoptic import panoptic_overlay

SIDES = (("gt_panoptic_seg", "panoptic_truth"), ("pred_panoptic_seg", "panoptic_result"))


class PanopticDrawing(Visualizer):
    """Draws samples that have panoptic results, truth and result side by side.

    Attributes:
        image_folder: below this one images keep their folders in what is written; None: nowhere.
    """

    image_folder: Path | None = None

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample=None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        **kwargs,
    ) -> None:
        """As mmseg's and mmdet's; image (H, W, 3) uint8 RGB."""
        image = np.ascontiguousarray(image)  # OpenCV can not draw into a reversed view
        name = self.with_folder(name, data_sample)
        if out_file is not None:
            path = Path(out_file)
            out_file = str(path.parent / self.with_folder(path.name, data_sample))
        pictures = [
            self.overlay(image, side)
            for side, wanted in zip(panoptic_sides(data_sample), (draw_gt, draw_pred), strict=True)
            if wanted and side is not None
        ]
        if not pictures:
            arguments = dict(draw_gt=draw_gt, draw_pred=draw_pred, show=show, out_file=out_file)
            arguments.update(wait_time=wait_time, step=step, **kwargs)
            super().add_datasample(name, image, data_sample, **arguments)
            return
        drawn = np.concatenate(pictures, axis=1)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(drawn[..., ::-1], out_file)
        else:
            self.add_image(name, drawn, step)

    def with_folder(self, name: str, data_sample) -> str:
        """The name behind the image's folder below `image_folder`, which is made where pictures
        are files."""
        path = Path(data_sample.get("img_path", None) or "" if data_sample is not None else "")
        if self.image_folder is None or not path.is_relative_to(self.image_folder):
            return name
        folder = path.relative_to(self.image_folder).parent
        for backend in self._vis_backends.values():
            if isinstance(backend, LocalVisBackend):
                # Its folder is known once `experiment` has been asked for.
                pictures = backend.experiment._img_save_dir
                Path(pictures, folder).mkdir(parents=True, exist_ok=True)
        return str(folder / name)

    def overlay(self, image: np.ndarray, side) -> np.ndarray:
        """One side's segments over the image."""
        ids = side.ids.cpu().numpy() if hasattr(side.ids, "cpu") else np.asarray(side.ids)
        meta = self.dataset_meta
        if not meta.get("isthing"):  # the inferencers of mmseg and mmdet know classes and colours
            meta = {**meta, "isthing": [True] * len(meta["classes"])}
        if len(meta.get("palette") or ()) != len(meta["classes"]):
            colours = np.random.RandomState(0).randint(0, 256, (len(meta["classes"]), 3))
            meta = {**meta, "palette": colours.tolist()}
        return panoptic_overlay(image, ids, side.segments_info, meta)


def panoptic_sides(data_sample) -> list:
    """Ground truth and prediction with `ids` and `segments_info`, or None."""
    sides = []
    for names in SIDES:
        found = [data_sample.get(name, None) for name in names] if data_sample is not None else []
        sides.append(next((side for side in found if side is not None and "ids" in side), None))
    return sides


@VISUALIZERS.register_module()
class PanopticSegVisualizer(PanopticDrawing, SegLocalVisualizer):
    """mmseg's `SegLocalVisualizer`, and panoptic pictures of samples that have them."""


@VISUALIZERS.register_module()
class PanopticDetVisualizer(PanopticDrawing, DetLocalVisualizer):
    """mmdet's `DetLocalVisualizer`, and panoptic pictures of samples that have them."""
