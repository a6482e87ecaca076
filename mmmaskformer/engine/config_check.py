"""A config, checked against the signatures of what it would build before anything is built."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import Registry
from mmengine.runner import Runner
from torch.nn.utils import clip_grad_norm_
from torch.utils.data import DataLoader

from ..heads.base import BandedHead
from ..heads.maskformer_head import MaskFormerHead
from ..utils.command import one_line, out_of_memory
from ..utils.text import listing
from .config_values import SPLITS, check_values, value_at
from .cpu_amp import AMP_SETTINGS
from .signatures import is_number, package_of, parameter_of, source_of, taker_of

SECTIONS = {
    **dict.fromkeys(("model", "tta_model"), root.MODELS),
    **dict.fromkeys(("default_hooks", "custom_hooks"), root.HOOKS),
    **{f"{split}_cfg": root.LOOPS for split in SPLITS},
    **{f"{split}_evaluator": root.METRICS for split in SPLITS},
    "tta_pipeline": root.TRANSFORMS,
    "optim_wrapper": root.OPTIM_WRAPPERS,
    "param_scheduler": root.PARAM_SCHEDULERS,
    "visualizer": root.VISUALIZERS,
    "log_processor": root.LOG_PROCESSORS,
    "strategy": root.STRATEGIES,
}
"""Top-level keys of a config, and the registry of what they build."""
NESTED = {
    "transforms": root.TRANSFORMS,
    **dict.fromkeys(("dataset", "datasets"), root.DATASETS),
    **dict.fromkeys(("sampler", "batch_sampler"), root.DATA_SAMPLERS),
    "metrics": root.METRICS,
    "vis_backends": root.VISBACKENDS,
    "optimizer": root.OPTIMIZERS,
}
"""The same for keys within a dataloader, a dataset and the other sections but models."""
PARTS = (root.MODELS, root.TASK_UTILS)
"""What builds the parts of a model."""
NAMED_PARTS = ("model", "backbone", "neck", "decode_head", "data_preprocessor", "pixel_decoder")
"""Parts of a model whose type no builder but the registry knows."""
TAKEN_BY_BUILDERS = {
    root.HOOKS: {"priority"},
    root.PARAM_SCHEDULERS: {"convert_to_iter_based"},
    root.OPTIM_WRAPPERS: {"constructor", "paramwise_cfg", "optimizer"},
    root.LOOPS: {"by_epoch"},
}
"""Registry -> keys that mmengine takes out before it builds."""
PLAIN = {
    **{f"{split}_dataloader": DataLoader.__init__ for split in SPLITS},
    "randomness": Runner.set_randomness,
    "optim_wrapper.clip_grad": clip_grad_norm_,
}
"""Dicts that no registry builds, and the function that takes their keys."""
TAKEN_BY_RUNNER = {
    "optim_wrapper.clip_grad": {"type", "clip_value"},
    **{f"{s}_dataloader": {"dataset", "num_batch_per_epoch"} for s in SPLITS},
}
NUMERIC = (root.HOOKS, root.LOOPS, root.PARAM_SCHEDULERS, root.OPTIMIZERS)
"""Registries of parts that look at their numbers only when they use them."""
KNOWN_PACKAGES = {"mmengine", "mmcv", "mmseg", "mmdet", "mmmaskformer", "torch"}
"""Packages whose classes build as their signatures say; what others do nobody can know."""
REFUSED = {
    "model.decode_head.compile_mask_loss": "it was removed: mask_loss_kernel says what computes "
    "the losses",
    **{f"optim_wrapper.{k}": "AmpOptimWrapper does, which --amp sets" for k in AMP_SETTINGS},
}
"""Keys that have more to be said of them than that nothing takes them."""
DEFAULT_TYPES = {
    "pixel_decoder": "mmmaskformer.FPNPixelDecoder",
    "transformer_decoder": "mmmaskformer.TransformerDecoder",
    "loss_cls": "mmmaskformer.ClassLoss",
    "loss_mask": "mmmaskformer.FocalLoss",
    "loss_dice": "mmmaskformer.DiceLoss",
    "assigner": "mmmaskformer.HungarianAssigner",
    "fusion": "mmmaskformer.SemanticFusion",
    "panoptic_fusion": "mmmaskformer.PanopticFusion",
    "instance_fusion": "mmmaskformer.InstanceFusion",
}
"""Parts of a MaskFormerHead, and what they are where the config names no type."""


def check_config(cfg: Config) -> None:
    """Raise ValueError for keys, types and values of a config that nothing can take.

    Whatever nobody can know is accepted: classes that keep their `**kwargs` for themselves, and
    dicts for the many small builders of mmcv (`norm_cfg` and the like).
    """
    if not isinstance(cfg.get("model"), Mapping) or not cfg.model.get("type"):
        raise ValueError(
            f"{cfg.filename}: model must be a dict with a type, got {cfg.get('model')!r}"
        )
    check_values(cfg)
    checker = Checker(cfg.filename)
    scopes = (cfg.get("default_scope") or "mmengine",)
    if not is_scope(scopes[0]):
        raise ValueError(
            f"{cfg.filename}: default_scope={scopes[0]!r}: no such package is installed; wanted "
            "'mmseg' or 'mmdet'"
        )
    loaders = dict.fromkeys(f"{split}_dataloader" for split in SPLITS)
    for key, registry in {**SECTIONS, **loaders}.items():
        checker.check(cfg.get(key), key, registry, scopes)
    for place, function in PLAIN.items():
        value = value_at(cfg, place)
        if isinstance(value, Mapping):
            known = {*inspect.signature(function).parameters, *TAKEN_BY_RUNNER.get(place, ())}
            checker.refuse_unknown(value, place, known - {"self"}, "mmengine")


@dataclass(frozen=True)
class Checker:
    """Checks the parts of the config of this name."""

    name: str

    def check(
        self,
        value,
        place: str,
        registry: Registry | None,
        scopes: tuple[str, ...],
        parent: Sequence[Callable] = (),
    ) -> None:
        """Check what stands at a place of a config, and everything below it.

        Args:
            registry: what builds dicts with a type there; None: nothing does.
            scopes: where types without a scope are looked up, the first one that has it.
            parent: what the dict around it builds.
        """
        if isinstance(value, (list, tuple)):
            for i, item in enumerate(value):
                self.check(item, f"{place}.{i}", registry, scopes, parent)
        if not isinstance(value, Mapping):
            return
        scopes = (value["_scope_"],) if "_scope_" in value else scopes
        kind = value.get("type")
        if kind is None and MaskFormerHead in parent:
            kind = DEFAULT_TYPES.get(place.split(".")[-1])
        found = [] if kind is None or registry is None else candidates(kind, registry, scopes)
        if kind is not None and registry is not None:
            self.check_typed(value, place, kind, found, registry, scopes, parent)
        if any(inspect.isclass(one) and issubclass(one, BandedHead) for one in found):
            scopes = ("mmmaskformer", *scopes)  # as `heads.base.build_part` does
        for key, item in value.items():
            built_elsewhere = str(key).endswith(("_cfg", "_cfgs", "_layer", "_args", "dcn", "sac"))
            if not built_elsewhere and "Albu" not in str(kind):
                below = NESTED.get(key, root.TRANSFORMS if "pipeline" in key else None)
                if registry is root.MODELS or place == "default_hooks":
                    below = registry
                self.check(item, f"{place}.{key}", below, scopes, found)

    def check_typed(
        self,
        value: Mapping,
        place: str,
        kind,
        found: list,
        registry: Registry,
        scopes: tuple[str, ...],
        parent: Sequence,
    ) -> None:
        """Check the type of a dict, which may stand for what was `found`, and its keys."""
        if not found and (registry is not root.MODELS or place.split(".")[-1] in NAMED_PARTS):
            raise ValueError(
                f"{self.name}: {place}.type={kind!r}: no such {registry.name} is registered"
                f"{hint_at(str(kind), registry, scopes[0])}"
            )
        takers = [taker_of(one) for one in found]
        if not takers or None in takers:
            return
        known = {"type", "_scope_", *TAKEN_BY_BUILDERS.get(registry, ())}.union(*takers)
        given = {k: v for k, v in value.items() if k in known or not takes_out(parent, k)}
        self.refuse_unknown(given, place, known - {"self"}, found[0].__name__)
        if registry in NUMERIC and package_of(found[0]) in KNOWN_PACKAGES:
            for key, item in value.items():
                if isinstance(item, (str, list, tuple, Mapping)) and is_number(found[0], key):
                    raise ValueError(
                        f"{self.name}: {place}.{key}={item!r}: it must be a number, as "
                        f"{found[0].__name__} takes it"
                    )
        folders = parameter_of(found[0], "data_prefix")
        folders = folders and folders.default
        given = value.get("data_prefix")
        if isinstance(given, Mapping) and isinstance(folders, Mapping) and len(folders) > 1:
            self.refuse_unknown(given, f"{place}.data_prefix", folders, found[0].__name__)

    def refuse_unknown(self, value: Mapping, place: str, known: Iterable[str], taker: str) -> None:
        """Raise ValueError for the first key that is not known; names the one that is nearest."""
        for key in value:
            if key not in known:
                reason = REFUSED.get(f"{place}.{key}")
                hint = f": {reason}" if reason else nearest(str(key), known)
                raise ValueError(f"{self.name}: {place}: {taker} takes no {key!r}{hint}")


def nearest(word: str, known: Iterable[str]) -> str:
    """What a misspelt word may have meant, else what there is."""
    known = sorted(known)
    close = difflib.get_close_matches(word, known, 1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {listing(known, 20)}"


def candidates(kind, registry: Registry, scopes: tuple[str, ...]) -> list[Callable]:
    """What a type may stand for; parts of models may be of several registries."""
    if not isinstance(kind, str):
        return [kind] if callable(kind) else []
    package, _, _ = kind.rpartition(".")
    if package and importlib.util.find_spec(package.split(".")[0]) is None:
        return [lambda **kwargs: None]  # whoever builds it says what is missing
    registries = {root.MODELS: PARTS, root.METRICS: (root.METRICS, root.EVALUATOR)}
    for scope in scopes:
        found = []
        for one in registries.get(registry, (registry,)):
            with one.switch_scope_and_registry(scope) as scoped:
                found.append(scoped.get(kind))
        if any(one is not None for one in found):
            return [one for one in found if one is not None]
    return []


def hint_at(kind: str, registry: Registry, scope: str) -> str:
    """Where a type is that was not found in a scope, or what it may be a misspelling of."""
    owners = [name for name, child in registry.children.items() if kind in child.module_dict]
    if not owners or scope in owners:
        return nearest(kind.split(".")[-1], names_of(registry))
    return (
        f" in {scope!r}; {owners[0]!r} has it: write '{owners[0]}.{kind}', or set "
        f"default_scope={owners[0]!r}"
    )


def names_of(registry: Registry) -> set[str]:
    """All types that a registry and those of the packages above it know."""
    return set(registry.module_dict).union(*(c.module_dict for c in registry.children.values()))


def is_scope(name: str) -> bool:
    """Whether types may be looked up in a scope: a package, or that of somebody's registry."""
    registries = {*SECTIONS.values(), *NESTED.values(), *PARTS}
    if any(name in registry.children for registry in registries):
        return True
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def takes_out(parent: Sequence[Callable], key: str) -> bool:
    """Whether a class may take a key out of the config of one of its parts: one of mmseg or mmdet
    whose code names the key, or somebody else's with code of its own that builds it."""
    for one in (c for built in parent for c in getattr(built, "__mro__", ())):
        package = package_of(one)
        if package in ("mmseg", "mmdet") and f"'{key}'" in source_of(one):
            return True
        known = package in KNOWN_PACKAGES or package in sys.stdlib_module_names
        if not known and any("init" in name for name in vars(one)):
            return True
    return False


def check_bases(path: str, below: tuple[str, ...] = ()) -> None:
    """Raise ValueError if a config inherits from itself, which mmengine would follow until the
    stack ends.

    Args:
        below: the files that led to this one.
    """
    path = os.path.realpath(path)
    if path in below:
        circle = " -> ".join((*below[below.index(path) :], path))
        raise ValueError(f"config {below[0]} inherits from itself: {circle}")
    try:
        bases = Config._get_base_files(path)
    except Exception:  # whoever reads the file says what is wrong with it
        return
    for base in bases:
        if isinstance(base, str) and "::" not in base:
            check_bases(os.path.join(os.path.dirname(path), base), (*below, path))


@contextmanager
def config_errors(cfg: Config) -> Iterator[None]:
    """Whatever fails while a part of the config is built becomes one ValueError that names it."""
    try:
        yield
    except (MemoryError, NotImplementedError):
        raise
    except Exception as error:
        part = part_being_built(error)
        if part is None:
            raise
        text = one_line(error).split(". Please check whether")[0]
        if out_of_memory(error):
            text = f"it does not fit into the memory: {' '.join(str(error).split())}"
        elif not isinstance(error, (OSError, ValueError)):
            text = f"{type(error).__name__}: {text}"
        raise ValueError(f"{cfg.filename}: {part}: {text}") from error


def part_being_built(error: Exception) -> str | None:
    """What mmengine was building from a config, innermost, when the error was raised."""
    part, step = None, error.__traceback__
    while step is not None:
        code, values = step.tb_frame.f_code, step.tb_frame.f_locals
        if code.co_filename.endswith("build_functions.py") and code.co_name.startswith("build_"):
            kind = values.get("obj_type") or values.get("scheduler_type") or part or "Runner"
            part = getattr(kind, "__name__", str(kind))
        step = step.tb_next
    return part
