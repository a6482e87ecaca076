"""What all decode heads of this package share, and how their parts are built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor

from ..core.checks import check_number, check_numbers
from ..core.view_merging import merge_views
from ..core.views import AnyView, NonFiniteScoreError, View
from ..registry import MODELS, TASK_UTILS
from .segments import SegmentMaker


class BandedHead(BaseModule):
    """A decode head whose inference is views and a fusion of them.

    A subclass sets `predictor` (backbone features to outputs) and defines `views`, `loss` and
    `view_type`, the kind of views that it makes. One that tells things from stuff also sets
    `panoptic_fusion` or `instance_fusion`, and defines `merge` if its views have no queries.

    Args:
        in_channels: channels of the backbone's levels, fine to coarse, the first at stride 4.
        in_index: which of the backbone's outputs to use; None: all.
        fusion: built inference strategy.
    """

    view_type: type = View

    def __init__(
        self,
        in_channels: Sequence[int],
        num_classes: int,
        *,
        fusion,
        in_index: Sequence[int] | None = None,
        ignore_index: int = 255,
        align_corners: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if align_corners:
            raise ValueError("align_corners must be False: MaskFormer resizes half-pixel centred")
        check_number("num_classes", num_classes, 1, whole=True)
        check_numbers("in_channels", in_channels, 1)
        chosen = range(len(in_channels)) if in_index is None else in_index
        if not isinstance(chosen, Sequence) or len(chosen) != len(in_channels):
            raise ValueError(
                f"in_index must be a list of {len(in_channels)} numbers, one for each of "
                f"in_channels, got {in_index!r}"
            )
        self.all_levels = in_index is None
        self.in_index = tuple(chosen)
        self.num_classes = self.out_channels = num_classes
        self.align_corners = align_corners
        self.threshold = 1.0  # for mmseg, which asks for it where there is one class: none is above
        if fusion.view_type is not self.view_type:
            raise ValueError(not_for(fusion, self))
        if ignore_index is not None and type(ignore_index) is not int:
            raise ValueError(f"ignore_index must be a whole number or None, got {ignore_index!r}")
        self.ignore_index = ignore_index
        self.segments = SegmentMaker(num_classes, ignore_index)
        self.fusion = fusion

    def select(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The backbone's outputs that this head uses.

        Raises:
            ValueError: the backbone has others than `in_channels` and `in_index` say.
        """
        count = len(features)
        if max(self.in_index) >= count or (self.all_levels and count != len(self.in_index)):
            raise ValueError(
                f"the head takes outputs {list(self.in_index)} of the backbone (in_index, or one "
                f"for each of in_channels), which has {count}"
            )
        return [features[i] for i in self.in_index]

    def views(
        self,
        features: Sequence[Tensor],
        input_size: Sequence[int],
        contents: Sequence[Sequence[int]],
        flips: Sequence[bool],
    ) -> list[AnyView]:
        """One view per image of a batch.

        Args:
            input_size: H, W of the network's input.
            contents: H, W of each image in it, without padding.
            flips: whether each image was mirrored.
        """
        raise NotImplementedError

    def merge(self, views: Sequence[Any]) -> Any:
        """What `panoptic_fusion` and `instance_fusion` take of the views of one image: here one
        view, whose queries are those of all views."""
        return merge_views(views)

    def predict(
        self, features: Sequence[Tensor], batch_img_metas: list[dict], test_cfg: dict
    ) -> Tensor:
        """Score maps (B, C, H, W) at the size of the network's input, padding included."""
        grid = features[self.in_index[0]].shape[-2:]
        return self.scores(features, input_size(batch_img_metas[0], test_cfg, grid))

    def scores(self, features: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Score maps (B, C, H, W) at the input's size (H, W)."""
        batch = len(features[self.in_index[0]])
        views = self.views(features, size, [size] * batch, [False] * batch)
        return torch.stack([self.fusion.scores([view], size) for view in views])


def build_part(cfg: dict | None, default: str, *, registry=MODELS, **defaults):
    """Build a registered part; types without a scope are looked up in ours first.

    The config's own values win over `defaults`; the config is not written to.
    """
    check_is_config(cfg, default)
    cfg = {"type": default, **defaults, **(cfg or {})}
    if isinstance(cfg["type"], str) and "." not in cfg["type"] and cfg["type"] in registry:
        cfg["type"] = registry.get(cfg["type"])
    return registry.build(cfg)


def check_is_config(cfg: Any, default: str) -> None:
    """Raise ValueError for what is neither a dict nor None; names what it should build."""
    if cfg is not None and not isinstance(cfg, Mapping):
        raise ValueError(f"the config of its {default} must be a dict, got {cfg!r}")


def check_parts(head: Any) -> None:
    """Raise ValueError for parts of a head that do not belong together: queries that compete for
    a pixel in one of them only, or a panoptic inference of another kind of outputs."""
    panoptic = head.panoptic_fusion
    parts = [one for one in (head.criterion, head.fusion, panoptic) if one is not None]
    kinds = {type(one).__name__: getattr(one, "queries_compete", None) for one in parts}
    if {True, False} <= set(kinds.values()):
        here, there = ([n for n, kind in kinds.items() if kind is k] for k in (True, False))
        raise ValueError(
            f"queries compete for a pixel in {', '.join(here)}, but not in {', '.join(there)}; "
            "choose a criterion, a fusion and a panoptic_fusion of one kind"
        )
    if panoptic is not None and getattr(panoptic, "view_type", View) is not head.view_type:
        raise ValueError(not_for(panoptic, head))


def not_for(fusion: Any, head: BandedHead) -> str:
    """What to say of a fusion of another kind of outputs."""
    return f"{type(fusion).__name__} is not for the outputs of {type(head).__name__}"


def build_fusion(cfg: dict | None, default: str):
    """Build an inference strategy."""
    return build_part(cfg, default, registry=TASK_UTILS)


@contextmanager
def naming(metas: Sequence[dict], *kinds: type[Exception]) -> Iterator[None]:
    """Put the images' names before a NonFiniteScoreError, or an error of `kinds`, of the block."""
    try:
        yield
    except (NonFiniteScoreError, *kinds) as error:
        names = ", ".join(str(meta.get("img_path") or "an image") for meta in metas)
        raise type(error)(f"{names}: {error}") from error


def answers_in_views(model: torch.nn.Module) -> bool:
    """Whether a model's results are those of its head's views of one input, and not joined by
    the model itself, which then has `test_views`."""
    return isinstance(model.decode_head, BandedHead) and not hasattr(model, "test_views")


def is_mirrored(meta: dict) -> bool:
    """Whether the image was flipped left to right; ValueError for other flips."""
    if meta.get("flip") and meta.get("flip_direction") != "horizontal":
        raise ValueError(f"only horizontal flips can be undone, got {meta.get('flip_direction')!r}")
    return bool(meta.get("flip"))


def check_results(test_cfg: dict, head: BaseModule) -> None:
    """Raise ValueError if results are asked for that the head has no inference for."""
    for kind in ("panoptic", "instance"):
        if test_cfg.get(f"{kind}_on") and getattr(head, f"{kind}_fusion", None) is None:
            if getattr(head, "panoptic_fusion", None) is not None:
                raise ValueError(
                    f"test_cfg.{kind}_on: {type(head).__name__} has no {kind} inference beside its "
                    f"{type(head.panoptic_fusion).__name__}"
                )
            raise ValueError(
                f"test_cfg.{kind}_on needs to know the things: decode_head.isthing=[True, False, "
                f"...] or the name of a dataset, of a MaskFormerHead, not {type(head).__name__}"
            )


def input_size(meta: dict, test_cfg: dict | None, grid: Sequence[int]) -> tuple[int, int]:
    """Size of the network's input, which mmseg does not hand to a head: the window when
    sliding, else the padded shape, else the image's; checked against the stride-4 `grid`."""
    sliding = (test_cfg or {}).get("mode") == "slide"
    keys = ("img_shape",) if sliding else ("pad_shape", "img_shape")
    shapes = [tuple(int(s) for s in meta[key][:2]) for key in keys if meta.get(key) is not None]
    for height, width in shapes:
        if (-(-height // 4), -(-width // 4)) == tuple(grid):
            return height, width
    raise ValueError(
        f"none of {shapes} ({', '.join(keys)} of {meta.get('img_path', 'the sample')}) fits the "
        f"mask grid {tuple(grid)} at stride 4"
    )
