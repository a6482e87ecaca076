"""Testing without ground truth: a folder of images is predicted, and the results are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS
from mmengine.runner.checkpoint import CheckpointLoader

from ..dataset_check.settings import ABSENT, built_class, leaf_datasets, setting
from ..datasets.unlabelled import list_images, loads_annotations, without_steps


def use_images(cfg: Config, folder: str, checkpoint: str) -> None:
    """Let the config test the images of a folder, which have no labels.

    Pipelines lose the steps that load annotations. Of the metrics those stay that can write
    without evaluating, and they only write: `format_only`.

    Args:
        checkpoint: the model's, which knows the classes where the dataset's stand in its files.

    Raises:
        FileNotFoundError, ValueError: no such folder, no image in it, classes that nobody knows.
    """
    list_images(folder)  # says what is wrong before the model is built
    dataset = next(leaf_datasets(cfg.test_dataloader.dataset))
    reduced = setting(DATASETS, dataset, "reduce_zero_label")
    cfg.test_dataloader.batch_size = 1  # mmseg's models take images of one size only
    cfg.test_dataloader.dataset = dict(
        type="mmmaskformer.UnlabelledImages",
        folder=folder,
        metainfo=metainfo_of(dataset, checkpoint),
        reduce_zero_label=reduced is not ABSENT and bool(reduced),
        pipeline=without_steps(dataset["pipeline"], loads_annotations),
    )
    if cfg.get("tta_pipeline") is not None:
        cfg.tta_pipeline = without_steps(cfg.tta_pipeline, loads_annotations)
    cfg.test_evaluator = writers(cfg.test_evaluator)


def metainfo_of(dataset: Mapping, checkpoint: str) -> dict[str, Any]:
    """The metadata that a dataset has without its files, else the checkpoint's.

    Raises:
        ValueError: neither names the classes.
    """
    registered = getattr(built_class(DATASETS, dataset), "METAINFO", {})
    meta = {**registered, **(dataset.get("metainfo") or {})}
    if not meta.get("classes"):
        content = CheckpointLoader.load_checkpoint(checkpoint, map_location="cpu")
        stated = content.get("meta") if isinstance(content, Mapping) else None
        stated = stated.get("dataset_meta") if isinstance(stated, Mapping) else None
        meta = {**(stated or {}), **meta}
    if not meta.get("classes"):
        raise ValueError(
            f"--images: neither {dataset['type']} nor {checkpoint} names the classes; set "
            "test_dataloader.dataset.metainfo.classes"
        )
    return meta


def writers(evaluators: Any) -> list[dict]:
    """The metrics that can write without evaluating, so told."""
    if isinstance(evaluators, Mapping):  # mmengine's Evaluator, or a metric alone
        evaluators = evaluators.get("metrics", evaluators)
    metrics = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
    able = [one for one in metrics if setting(METRICS, one, "format_only") is not ABSENT]
    return [dict(one, format_only=True) for one in able]
