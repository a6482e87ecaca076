"""Our pictures for the visualization hooks of mmseg and mmdet."""

from __future__ import annotations

from pathlib import Path

import mmcv
import numpy as np
from mmdet.visualization import DetLocalVisualizer
from mmengine.dist import master_only
from mmengine.visualization import LocalVisBackend, Visualizer
from mmseg.visualization import SegLocalVisualizer

from ..registry import VISUALIZERS
from .painting import with_palette
from .panoptic import Style, panoptic_overlay, semantic_overlay

SIDES = (("gt_panoptic_seg", "panoptic_truth"), ("pred_panoptic_seg", "panoptic_result"))
SEMANTIC_SIDES = ("gt_sem_seg", "pred_sem_seg")


class PanopticDrawing(Visualizer):
    """Draws samples that have panoptic results, truth and result side by side.

    Attributes:
        alpha: opacity of the colours, as in mmseg's and mmdet's visualizers.
        image_folder: below this one images keep their folders in what is written; None: nowhere.
        semantic: whether label maps of samples without panoptic results are drawn here, too.
    """

    alpha: float
    image_folder: Path | None = None
    semantic = False

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
        sides = panoptic_sides(data_sample)
        if self.semantic and self.dataset_meta and sides == [None, None]:
            sides = semantic_sides(data_sample, image.shape[:2])
        style = Style(opacity=self.alpha, labels=kwargs.get("with_labels", True))
        pictures = [
            self.overlay(image, side, style)
            for side, wanted in zip(sides, (draw_gt, draw_pred), strict=True)
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

    def overlay(self, image: np.ndarray, side, style: Style) -> np.ndarray:
        """One side's segments, or its label map, over the image."""
        meta = with_palette(self.dataset_meta)
        if "ids" not in side:
            return semantic_overlay(image, to_array(side.data.squeeze()), meta, style)
        if not meta.get("isthing"):  # the inferencers of mmseg and mmdet know classes and colours
            meta = {**meta, "isthing": [True] * len(meta["classes"])}
        return panoptic_overlay(image, to_array(side.ids), side.segments_info, meta, style)


def to_array(values) -> np.ndarray:
    """A tensor of any device, or an array, as an array."""
    return values.cpu().numpy() if hasattr(values, "cpu") else np.asarray(values)


def panoptic_sides(data_sample) -> list:
    """Ground truth and prediction with `ids` and `segments_info`, or None."""
    sides = []
    for names in SIDES:
        found = [data_sample.get(name, None) for name in names] if data_sample is not None else []
        sides.append(next((side for side in found if side is not None and "ids" in side), None))
    return sides


def semantic_sides(data_sample, size: tuple[int, int]) -> list:
    """Ground truth and prediction with a label map `data` of the image's size, or None."""
    found = [
        data_sample.get(name, None) if data_sample is not None else None for name in SEMANTIC_SIDES
    ]
    return [side if side is not None and side.shape[-2:] == size else None for side in found]


@VISUALIZERS.register_module()
class PanopticSegVisualizer(PanopticDrawing, SegLocalVisualizer):
    """mmseg's `SegLocalVisualizer`, which draws segments and label maps as `inference` does."""

    semantic = True


@VISUALIZERS.register_module()
class PanopticDetVisualizer(PanopticDrawing, DetLocalVisualizer):
    """mmdet's `DetLocalVisualizer`, and panoptic pictures of samples that have them."""
