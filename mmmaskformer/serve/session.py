"""The model of a worker process, and the answers that it keeps."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np

from ..core.views import check_finite
from ..datasets.pixels import PixelError, decode_image
from ..inference import Predictor
from ..inference.sources import Frame
from .answers import (
    QUERY_THRESHOLD,
    Answer,
    Map,
    Thresholds,
    available_views,
    boxed,
    panoptic_thresholds,
    png,
)
from .limits import Limits, Refused


class Session:
    """What a worker does, as methods with plain arguments and results.

    Args:
        number: of the worker, with which the ids of its photographs begin.
        name: of the model.
        predictor: its model runs once, as the first run is slow.
    """

    def __init__(self, number: int, name: str, predictor: Predictor, limits: Limits) -> None:
        self.number, self.name, self.predictor, self.limits = number, name, predictor, limits
        self.answers: OrderedDict[str, Answer] = OrderedDict()
        self.lock = Lock()
        black = Frame(np.zeros((64, 64, 3), np.uint8), "a black image")
        self.views = available_views(predictor.predict([black])[0])

    def describe(self) -> dict[str, Any]:
        """What the page has to know about the model."""
        fusion = getattr(self.predictor.model.decode_head, "panoptic_fusion", None)
        return {
            "model": self.name,
            "device": str(next(self.predictor.model.parameters()).device),
            "views": self.views,
            "classes": list(self.predictor.model.dataset_meta["classes"]),
            "object_threshold": getattr(fusion, "object_threshold", QUERY_THRESHOLD),
            "overlap_threshold": getattr(fusion, "overlap_threshold", 0.0),
            "panoptic_thresholds": panoptic_thresholds(fusion),
        }

    def predict(self, content: bytes, name: str) -> dict[str, Any]:
        """Run the network on an encoded photograph and keep its answer.

        Raises:
            Refused: the photograph is damaged.
            NonFiniteScoreError: the network's scores are NaN or infinite.
        """
        try:
            pixels = decode_image(content, "pillow")[..., ::-1]
        except PixelError as error:
            raise Refused(422, f"{name} {error}") from error
        except Exception as error:  # whatever hostile bytes make pillow say
            raise Refused(422, f"{name} is damaged or incomplete") from error
        start = time.perf_counter()
        (prediction,) = self.predictor.predict([Frame(np.ascontiguousarray(pixels), name)])
        check_finite(prediction.views)
        seconds = time.perf_counter() - start
        answer = Answer(prediction, self.limits.shown)
        key = f"{self.number}-{secrets.token_urlsafe(16)}"
        with self.lock:
            self.answers[key] = answer
            self._forget_oldest()
        height, width = answer.size
        return {
            "id": key,
            "name": name,
            "width": width,
            "height": height,
            "grid": answer.grid,
            "network_seconds": round(seconds, 3),
        }

    def prepare(self) -> bool:
        """Make ready a part of what no threshold changes, newest photograph first; whether there
        was anything left to do."""
        with self.lock:
            answers = list(reversed(self.answers.values()))
        return any(answer.prepare() for answer in answers)

    def map(
        self, key: str, view: str, object_threshold: float, overlap_threshold: float, full: bool
    ) -> bytes:
        """See `Map.packed`."""
        return self._map(key, view, object_threshold, overlap_threshold, full).packed()

    def png(self, key: str, view: str, object_threshold: float, overlap_threshold: float) -> bytes:
        """See `answers.png`; at the photograph's size."""
        return png(self._map(key, view, object_threshold, overlap_threshold, True), view)

    def result(
        self, key: str, view: str, object_threshold: float, overlap_threshold: float
    ) -> dict[str, Any]:
        """The entries of a view at the photograph's size."""
        answer = self._answer(key)
        found = self._map(key, view, object_threshold, overlap_threshold, True)
        height, width = answer.size
        fusion = getattr(answer.prediction.head, "panoptic_fusion", None)
        used = {"panoptic": panoptic_thresholds(fusion), "queries": ["object_threshold"]}
        given = dict(object_threshold=object_threshold, overlap_threshold=overlap_threshold)
        return {
            "id": key,
            "name": answer.name,
            "width": width,
            "height": height,
            "view": view,
            **{name: given[name] for name in used.get(view, [])},
            "model": self.name,
            "segments": boxed(found),
        }

    def query(self, key: str, number: int) -> bytes:
        """See `Answer.query`."""
        try:
            return self._answer(key).query(number)
        except ValueError as error:
            raise Refused(404, str(error)) from error

    def forget(self, key: str) -> None:
        """Drop the answer of a photograph, if there is one."""
        with self.lock:
            self.answers.pop(key, None)

    def _map(
        self, key: str, view: str, object_threshold: float, overlap_threshold: float, full: bool
    ) -> Map:
        if view not in self.views:
            known = " or ".join(self.views)
            raise Refused(422, f"the model has no view {view!r}; wanted {known}")
        thresholds = Thresholds(object_threshold, overlap_threshold)
        return self._answer(key).map(view, thresholds, full=full)

    def _answer(self, key: str) -> Answer:
        with self.lock:
            if key not in self.answers:
                raise Refused(404, "the photograph is not kept any more; send it again")
            self.answers.move_to_end(key)
            return self.answers[key]

    def _forget_oldest(self) -> None:
        """Keep as many answers as the limits allow, and the newest one in any case."""
        while len(self.answers) > 1:
            memory = sum(answer.nbytes for answer in self.answers.values())
            if len(self.answers) <= self.limits.kept and memory <= self.limits.kept_bytes:
                return
            self.answers.popitem(last=False)
