"""One line from a photograph to its masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose, pseudo_collate

from ..heads.base import BandedHead
from ..seg.segmentor import make_views
from ..zoo import load
from .prediction import Prediction
from .sources import Frame, frames


class Predictor:
    """A model that predicts images."""

    def __init__(
        self,
        model: str | Path,
        checkpoint: str | Path | None = None,
        *,
        device: str = "auto",
        batch_size: int = 1,
    ) -> None:
        self.model = load(model, checkpoint, device)
        self.batch_size = batch_size
        steps = self.model.cfg.test_dataloader.dataset.pipeline
        self.pipeline = Compose([step for step in steps if "Load" not in str(step["type"])])

    def __call__(self, source: Any) -> Prediction:
        """The prediction of an image."""
        return self.predict(list(frames(source)))[0]

    @torch.inference_mode()
    def predict(self, batch: Sequence[Frame]) -> list[Prediction]:
        """The predictions of some images, from one run of the network."""
        packed = pseudo_collate([self.pipeline(self._results(frame)) for frame in batch])
        data = self.model.data_preprocessor(packed, False)
        meta = self.model.dataset_meta
        head = self.model.decode_head
        if isinstance(head, BandedHead):
            views = make_views(self.model, data["inputs"], data["data_samples"])
            return [
                Prediction(frame.image, frame.name, head, [view], meta)
                for frame, view in zip(batch, views, strict=True)
            ]
        samples = self.model.predict(data["inputs"], data["data_samples"])
        return [
            Prediction(
                frame.image, frame.name, head, [], meta, sample.pred_sem_seg.data[0].cpu().numpy()
            )
            for frame, sample in zip(batch, samples, strict=True)
        ]

    @staticmethod
    def _results(frame: Frame) -> dict[str, Any]:
        image = frame.image[..., ::-1]
        shape = image.shape[:2]
        return dict(img=image.copy(), img_path=frame.name, img_shape=shape, ori_shape=shape)
