"""One line from a photograph to its masks."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmseg.models import SegTTAModel
from mmseg.structures import SegDataSample
from rich.console import Console
from rich.progress import track

from ..core.checks import check_number
from ..core.views import View
from ..heads.base import answers_in_views
from ..registry import MODELS
from ..seg.data_preprocessor import MaskFormerDataPreProcessor
from ..seg.segmentor import make_views
from ..utils.command import one_line
from ..zoo import load
from .pipelines import image_pipeline
from .prediction import TASKS, Prediction
from .sources import Frame, Skip, count, expand, frames, is_image

HALF = {"cuda": torch.float16}
"""What autocast computes in; bfloat16 elsewhere."""
NARROW = 100
"""An image so many times as long as wide may have no pixel left after resizing."""
Prepared = tuple[Frame, Mapping[str, Any]]
"""An image, and what the pipeline made of it."""


class Predictor:
    """A model that predicts images.

        predictor = Predictor("maskformer_r50_coco-panoptic")
        prediction = predictor("street.jpg")
        for prediction in predictor("photographs/"):
            ...

    Args:
        model: a name of `mmmaskformer models`, or the path of a config.
        checkpoint: the model's weights; None: the released ones; "random": none, for trials.
        device: "auto" is a GPU where there is one.
        batch_size: images that are computed in one run of the network, where they are of one size.
        task: "semantic", "panoptic" or "instance", what predictions show and save; None: panoptic
            where the model can, else semantic.
        object_threshold, overlap_threshold: of panoptic inference; None: the config's.
        classes: names of the classes that predictions keep; None: all.
        size: the short edge of the network's input in pixels; None: the config's.
        half: whether the network computes in half precision (float16 on a GPU, else bfloat16).
        tta: test-time augmentation, the views of the config's `tta_pipeline`.
        channel_order: of arrays, "bgr" as OpenCV's and mmseg's, or "rgb".
        strict: whether a file that can not be read is an error; else it is skipped with a line on
            stderr, and counted at the end.
        progress: whether a bar is shown for several images; None: if stderr is a terminal.
        accept_license, offline: of the released weights, as in `zoo.load`.

    Attributes:
        skipped: a line for each file that the last stream of images has left out so far.

    Raises:
        OSError, ValueError: no such model, checkpoint, task, class or device.
    """

    def __init__(
        self,
        model: str | Path,
        checkpoint: str | Path | None = None,
        *,
        device: str = "auto",
        batch_size: int = 1,
        task: str | None = None,
        object_threshold: float | None = None,
        overlap_threshold: float | None = None,
        classes: Sequence[str] | None = None,
        size: int | None = None,
        half: bool = False,
        tta: bool = False,
        channel_order: str = "bgr",
        strict: bool = False,
        progress: bool | None = None,
        accept_license: bool = False,
        offline: bool = False,
    ) -> None:
        self.batch_size = check_number("batch_size", batch_size, 1, whole=True)
        limits = dict(object_threshold=object_threshold, overlap_threshold=overlap_threshold)
        self.thresholds = {
            name: check_number(name, value, 0, 1)
            for name, value in limits.items()
            if value is not None
        }
        frames([], channel_order)  # which checks it
        self.channel_order, self.strict, self.progress = channel_order, strict, progress
        terms = dict(accept_license=accept_license, offline=offline)
        self.model = load(model, checkpoint, device, fold=True, **terms)
        self.pipeline = image_pipeline(self.model.cfg, size, tta)
        self.half, self.tta = half, tta
        self.task = check_task(self.model, task)
        self.classes = check_classes(classes, self.model.dataset_meta)
        self.merging = merging_model(self.model) if tta else None
        self.skipped: list[str] = []

    def __call__(self, source: Any) -> Prediction | Iterator[Prediction]:
        """The prediction of one image, or those of several, one after another.

        One image is a path, a URL, a picture of pillow's, an array (H, W), (H, W, 3) or (H, W, 4)
        or a tensor (C, H, W); several are a folder, a pattern, a video, the number of a camera, a
        list or anything else that can be iterated over. They are read and computed while the
        result is iterated over.

        Raises:
            OSError, ValueError, TypeError: the image can not be read; no such folder or video.
        """
        source = expand(source)
        if is_image(source):
            return self.predict(list(frames(source, self.channel_order)))[0]
        return self._stream(source)

    def _stream(self, source: Any) -> Iterator[Prediction]:
        self.skipped = skipped = []

        def skip(error: Exception) -> None:
            skipped.append(one_line(error))
            print(f"skipped: {skipped[-1]}", file=sys.stderr)

        number = 0
        stream = frames(source, self.channel_order, None if self.strict else skip)
        prepared = self._prepared(stream, None if self.strict else skip)
        for prediction in self._shown(self._batches(prepared), source):
            number += 1
            yield prediction
        if skipped:
            print(f"{len(skipped)} skipped, {number} predicted", file=sys.stderr)

    def _prepared(self, stream: Iterator[Frame], skip: Skip | None) -> Iterator[Prepared]:
        for frame in stream:
            try:
                packed = self._prepare(frame)
            except ValueError as error:
                if skip is None:
                    raise
                skip(error)
            else:
                yield frame, packed

    def _prepare(self, frame: Frame) -> Mapping[str, Any]:
        """What the pipeline makes of an image; ValueError for one that has no pixels then."""
        try:
            return self.pipeline(results(frame))
        except Exception as error:  # pillow's and OpenCV's differ
            height, width = frame.image.shape[:2]
            if max(height, width) < NARROW * min(height, width):
                raise
            raise ValueError(
                f"image {frame.name} has {width}x{height} pixels (width x height), and nothing is "
                f"left of it after resizing ({one_line(error)}); wanted one that is less narrow"
            ) from error

    def _batches(self, prepared: Iterator[Prepared]) -> Iterator[Prediction]:
        while batch := list(islice(prepared, self.batch_size)):
            yield from self._predict(batch)

    def _shown(self, predictions: Iterator[Prediction], source: Any) -> Iterator[Prediction]:
        """The same, with a bar."""
        console = Console(stderr=True, force_terminal=self.progress)
        if not console.is_terminal:
            return predictions
        return track(predictions, "predicting", count(source), console=console, transient=True)

    def predict(self, batch: Sequence[Frame]) -> list[Prediction]:
        """The predictions of some images, from one run of the network for each size of its input.

        Images are padded only as each alone would be, so the others make no difference.

        Raises:
            ValueError: an image is too narrow to be resized.
        """
        return self._predict([(frame, self._prepare(frame)) for frame in batch])

    @torch.inference_mode()
    def _predict(self, batch: Sequence[Prepared]) -> list[Prediction]:
        groups: dict[Any, list[int]] = {}
        for index, (_, packed) in enumerate(batch):
            groups.setdefault(self._input_sizes(packed), []).append(index)
        found: dict[int, Prediction] = {}
        for indices in groups.values():
            answers = self._run([batch[index][1] for index in indices])
            for index, answer in zip(indices, answers, strict=True):
                found[index] = self._prediction(batch[index][0], answer)
        return [found[index] for index in range(len(batch))]

    def _input_sizes(self, packed: Mapping[str, Any]) -> tuple:
        """The sizes of the network's inputs, one for each view, if it saw this image alone."""
        inputs = packed["inputs"] if self.tta else [packed["inputs"]]
        return tuple(padded_size(self.model.data_preprocessor, view.shape[-2:]) for view in inputs)

    def _run(self, packed: Sequence[Mapping]) -> list[list[View] | np.ndarray]:
        """The views of each image, or its labels (H, W) where the model has no views."""
        kind = next(self.model.parameters()).device.type
        with torch.autocast(kind, HALF.get(kind, torch.bfloat16), enabled=self.half):
            data = pseudo_collate(packed)
            if not has_views(self.model):
                samples = (self.merging or self.model).test_step(data)
                return [labels_of(sample) for sample in samples]
            augmented = zip(data["inputs"], data["data_samples"], strict=True)
            if not self.tta:
                augmented = [(data["inputs"], data["data_samples"])]
            views = [self._views(inputs, samples) for inputs, samples in augmented]
            return [list(of_an_image) for of_an_image in zip(*views, strict=True)]

    def _views(self, inputs: list[torch.Tensor], samples: list[SegDataSample]) -> list[View]:
        """One view of each image."""
        data = self.model.data_preprocessor(dict(inputs=inputs, data_samples=samples), False)
        return make_views(self.model, data["inputs"], data["data_samples"])

    def _prediction(self, frame: Frame, answer: list[View] | np.ndarray) -> Prediction:
        factored = isinstance(answer, list)
        return Prediction(
            frame.image,
            frame.name,
            self.model.decode_head,
            answer if factored else [],
            self.model.dataset_meta,
            None if factored else answer,
            self.thresholds,
            self.task,
            self.classes,
        )


def results(frame: Frame) -> dict[str, Any]:
    """What a pipeline starts from after loading."""
    image = np.ascontiguousarray(frame.image[..., ::-1])  # no copy of what OpenCV gave
    shape = image.shape[:2]
    return dict(img=image, img_path=frame.name, img_shape=shape, ori_shape=shape)


def has_views(model: torch.nn.Module) -> bool:
    """Whether the model's answer stays factored: ours does, unless it slides a window."""
    whole = (model.test_cfg or {}).get("mode", "whole") == "whole"
    return answers_in_views(model) and whole


def labels_of(sample: SegDataSample) -> np.ndarray:
    """(H, W) int64."""
    return sample.pred_sem_seg.data[0].cpu().numpy()


def padded_size(preprocessor: torch.nn.Module, shape: Sequence[int]) -> tuple[int, ...]:
    """H, W of the network's input for a resized image (H, W) alone."""
    if not isinstance(preprocessor, MaskFormerDataPreProcessor):  # mmseg's wants equal sizes
        return tuple(shape)
    padding = preprocessor.test_cfg or {}
    if padding.get("size"):
        return tuple(map(max, shape, padding["size"]))
    divisor = padding.get("size_divisor") or 1
    return tuple(-(-edge // divisor) * divisor for edge in shape)


def merging_model(model: torch.nn.Module) -> SegTTAModel:
    """The config's model of test-time augmentation.

    Raises:
        ValueError: the model slides a window.
    """
    if answers_in_views(model) and not has_views(model):
        raise ValueError("tta needs test_cfg.mode 'whole'")
    return MODELS.build({**model.cfg.tta_model, "module": model})


def check_task(model: torch.nn.Module, task: str | None) -> str | None:
    """The task as it is; ValueError if the model can not do it."""
    fusions = {t: getattr(model.decode_head, f"{t}_fusion", None) for t in TASKS}
    able = [t for t in TASKS if t == "semantic" or (fusions[t] and has_views(model))]
    if task not in (None, *able):
        raise ValueError(f"task must be one of {', '.join(able)} for this model, got {task!r}")
    return task


def check_classes(
    names: str | Sequence[str] | None, meta: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """The names, or the one name, as a tuple; ValueError for one that the model does not know."""
    known = list(meta.get("classes") or ())
    names = (names,) if isinstance(names, str) else names
    for name in names or ():
        if name not in known:
            near = nearest(name, known)
            raise ValueError(f"the model knows no class {name!r}; wanted names such as {near}")
    return None if names is None else tuple(names)


def nearest(name: str, known: Sequence[str]) -> str:
    """Names like this one, or the first ones."""
    found = difflib.get_close_matches(name, known, 3) or list(known[:3])
    return ", ".join(found)
