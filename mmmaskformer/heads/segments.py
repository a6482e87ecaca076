"""Ground truth of samples, of mmseg and of mmdet, in its one form: `SegmentTargets`.

A data preprocessor makes the segments while the samples are on the host, checks them there and
notes them in the samples; heads read the notes. Where nobody made them, or the ground truth was
changed since, a head makes them on the device, which has to wait for that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmengine.structures import BaseDataElement
from torch import Tensor
from torch.nn import functional as F

from ..core import NO_SEGMENT, SegmentTargets, segments_from_panoptic, segments_from_semantic
from ..core.targets import pad_segments


def check_packed(batch: Mapping) -> None:
    """Raise ValueError for a batch of samples that no step has packed as the model takes them."""
    if not {"inputs", "data_samples"} <= batch.keys():
        raise ValueError(
            "a sample must have 'inputs' and 'data_samples', as a pipeline gives it that ends "
            f"with PackSegInputs or the like; it has {', '.join(map(str, batch))}"
        )


@dataclass(frozen=True)
class SegmentMaker:
    """Makes the segments of a sample, for a head of `num_classes` classes.

    Attributes:
        ignore_index: the label that means "not labelled".
    """

    num_classes: int
    ignore_index: int | None

    def __call__(self, sample: BaseDataElement, name: str) -> SegmentTargets:
        """The segments of a sample's ground truth: of `panoptic_truth`, `gt_panoptic_seg` or
        `gt_sem_seg`, the first that it has.

        Raises:
            ValueError: no ground truth, or a label outside the range; names the image.
        """
        truth = panoptic_truth(sample)
        if truth is not None:
            segment_map = truth.segment_map.squeeze(0)
            return segments_from_panoptic(segment_map, truth.labels, self.num_classes, name)
        if "gt_sem_seg" not in sample:
            raise ValueError(f"{name}: the sample has no ground truth to train on")
        labels = sample.gt_sem_seg.data.squeeze(0)
        return segments_from_semantic(labels, self.num_classes, self.ignore_index, name)

    def read(self, samples: Sequence[BaseDataElement]) -> list[SegmentTargets]:
        """The segments of a training batch: the noted ones where they are still true."""
        found = []
        for sample, name in zip(samples, image_names(samples), strict=True):
            note = sample.get("gt_segments", None)
            if note is not None and note.holds(sample):
                found.append(note.targets)
            else:
                targets = self(sample, name)
                if panoptic_truth(sample) is not None:  # which other preprocessors do not pad
                    shape = tuple(targets.segment_map.shape)
                    targets = pad_segments(targets, input_shape(sample.metainfo, shape))
                found.append(targets)
        return found

    def note(
        self,
        samples: Sequence[BaseDataElement],
        size: Sequence[int],
        made: Sequence[SegmentTargets] | None = None,
    ) -> None:
        """Note the segments in preprocessed samples.

        Args:
            size: H, W of the network's input, to which maps are padded.
            made: the segments, where they were made before the samples left the host.
        """
        pad_panoptic_truth(samples, size)
        made = self.make(samples) if made is None else made
        for sample, targets in zip(samples, made, strict=True):
            sources = truth_tensors(sample)
            moved = pad_segments(targets, size).to(sources[0].device)
            sample.gt_segments = NotedSegments(moved, sources)

    def make(self, samples: Sequence[BaseDataElement]) -> list[SegmentTargets]:
        """The segments of all samples."""
        names = image_names(samples)
        return [self(sample, name) for sample, name in zip(samples, names, strict=True)]


class NotedSegments:
    """Segments, and the ground truth that they were made of as it was then."""

    def __init__(self, targets: SegmentTargets, sources: Sequence[Tensor]) -> None:
        self.targets = targets
        self.sources = [(source, version_of(source)) for source in sources]

    def holds(self, sample: BaseDataElement) -> bool:
        """Whether the sample's ground truth is the same tensors, which nobody has written to."""
        sources = truth_tensors(sample)
        return len(sources) == len(self.sources) and all(
            source is noted and version_of(source) == version
            for source, (noted, version) in zip(sources, self.sources, strict=True)
        )


def version_of(tensor: Tensor) -> int:
    """How often torch has written to a tensor; inference tensors do not count that."""
    return 0 if tensor.is_inference() else tensor._version


def truth_tensors(sample: BaseDataElement) -> list[Tensor]:
    """The tensors that a sample's segments are made of."""
    truth = panoptic_truth(sample)
    if truth is not None:
        return [truth.segment_map, truth.labels]
    return [sample.gt_sem_seg.data]


def panoptic_truth(sample: BaseDataElement) -> BaseDataElement | None:
    """The panoptic ground truth of a sample, with `segment_map` (1, H, W) and `labels` (G,):
    `panoptic_truth` of mmdet's samples, whose `gt_panoptic_seg` is mmdet's, or `gt_panoptic_seg`.
    """
    truth = sample.get("panoptic_truth", None)
    return sample.get("gt_panoptic_seg", None) if truth is None else truth


def pad_panoptic_truth(samples: Sequence[BaseDataElement], size: Sequence[int]) -> None:
    """Pad panoptic ground truth, right and bottom, to the input's size (H, W)."""
    for truth in map(panoptic_truth, samples):
        if truth is not None:
            height, width = truth.segment_map.shape[-2:]
            padding = (0, size[1] - width, 0, size[0] - height)
            truth.segment_map = F.pad(truth.segment_map, padding, value=NO_SEGMENT)


def input_shape(meta: dict, shape: Sequence[int]) -> tuple[int, int]:
    """H, W of the network's input as far as the metainfo says it; else `shape`."""
    for key in ("batch_input_shape", "pad_shape"):
        if meta.get(key) is not None:
            return tuple(meta[key][:2])
    return tuple(shape)


def image_names(samples: Sequence[BaseDataElement]) -> list[str]:
    """What errors call the images of a batch."""
    return [
        sample.metainfo.get("img_path", f"image {i} of the batch")
        for i, sample in enumerate(samples)
    ]
