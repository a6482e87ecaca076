"""Which query wins which pixel, for every object threshold at once.

A threshold admits the queries that are sure enough: a prefix of the queries in the order of their
scores. So each pixel has a short list of leaders, the queries that were best when they joined, and
the winner under any threshold is the last leader that is admitted. The masks are resized once;
afterwards a threshold costs one pass over the lists.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ..core.fusion import confident_queries, row_bands
from ..core.panoptic_fusion import PanopticFusion
from ..core.views import View, output_maps

STEP = 16
"""Queries that join at once. They share the work of a band; who needs one of them waits for all."""


class Competition:
    """The leaders of every pixel of an image at `size` (H, W), found as far as they are asked for.

    Attributes:
        queries: (N,) numbers of the queries whose most likely class is an object, surest first.
        scores: (N,) probability of that class, float32.
        labels: (N,) that class.
    """

    def __init__(self, view: View, size: Sequence[int]) -> None:
        admitted = confident_queries(view, -1.0)
        order = admitted.scores.argsort(descending=True, stable=True)
        self.view, self.size = view, (int(size[0]), int(size[1]))
        self._queries, self._scores = admitted.queries[order], admitted.scores[order]
        self.queries, self.scores = self._queries.cpu().numpy(), self._scores.cpu().numpy()
        self.labels = admitted.labels[order].cpu().numpy()
        self._best = np.full(self.size, -1, np.float32)
        self._owner = np.full(self.size, -1, np.int16)
        self._leads: list[np.ndarray] = []  # pixels where the query leads when it joins
        self._own: list[int] = []  # pixels where its mask probability is at least 0.5
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Memory in bytes, the view's included."""
        held = [self._best, self._owner, *self._leads]
        return sum(part.nbytes for part in held) + self.view.maps.nbytes

    @property
    def joined(self) -> int:
        """How many queries have joined so far."""
        return len(self._leads)

    def count(self, object_threshold: float) -> int:
        """How many queries a threshold admits."""
        return int((self.scores > np.float32(object_threshold)).sum())

    def owners(self, count: int) -> np.ndarray:
        """(H, W) int16, who wins each pixel when the first `count` queries compete; -1: nobody,
        as none does."""
        self.extend(count)
        owner = np.full(self.size[0] * self.size[1], -1, np.int16)
        for rank, pixels in enumerate(self._leads[:count]):
            owner[pixels] = rank
        return owner.reshape(self.size)

    @torch.inference_mode()
    def extend(self, count: int) -> bool:
        """Let queries join until `count` have, and a few more; whether there was work to do."""
        count = min(count, len(self.queries))
        if len(self._leads) >= count:
            return False  # without the lock, which another caller may hold for a step
        with self._lock:
            while len(self._leads) < count:
                self._join(slice(len(self._leads), len(self._leads) + STEP))
        return True

    def _join(self, ranks: slice) -> None:
        numbers, scores = self._queries[ranks], self._scores[ranks, None, None]
        part = replace(
            self.view,
            class_prob=self.view.class_prob[numbers],
            mask_logits=self.view.mask_logits[numbers],
        )
        own = np.zeros(len(scores), np.int64)
        leads: list[list[np.ndarray]] = [[] for _ in own]
        for rows in row_bands([part], self.size):
            prob = output_maps(part, self.size, rows).sigmoid()
            own += (prob >= 0.5).sum((1, 2)).cpu().numpy()
            values = (prob * scores).contiguous().cpu().numpy()
            best, owner = self._best[rows].reshape(-1), self._owner[rows].reshape(-1)
            for index, value in enumerate(values.reshape(len(values), -1)):
                rank = ranks.start + index
                lead = np.flatnonzero(value >= best)
                # Of equal values the query of the lower number wins, as in an argmax.
                equal = value[lead] == best[lead]
                if equal.any():
                    later = self.queries[owner[lead]] < self.queries[rank]
                    lead = lead[~(equal & later)]
                best[lead], owner[lead] = value[lead], rank
                leads[index].append((lead + rows.start * self.size[1]).astype(np.int32))
        self._own += own.tolist()
        self._leads += [np.concatenate(pixels) for pixels in leads]  # last: `extend` counts them

    def panoptic(
        self, fusion: PanopticFusion, object_threshold: float, overlap_threshold: float
    ) -> tuple[np.ndarray, list[dict]]:
        """What `fusion` gives with these thresholds: ids (H, W) int32, and the segments."""
        count = self.count(object_threshold)
        owner = self.owners(count)
        won = np.bincount(owner.ravel() + 1, minlength=count + 1)[1:]
        order = np.argsort(self.queries[:count])  # that of the fusion
        table = [(self._own[k], int(won[k]), int(self.labels[k])) for k in order]
        fusion = PanopticFusion(
            fusion.isthing,
            object_threshold=object_threshold,
            overlap_threshold=overlap_threshold,
        )
        numbers, segments = fusion.number(table, self.scores[order].tolist())
        lookup = np.zeros(count + 1, np.int32)  # the last is that of the pixels of nobody
        lookup[order] = numbers
        return lookup[owner], segments
