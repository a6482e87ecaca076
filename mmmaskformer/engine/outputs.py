"""Where results are written: never among what is read, and each under a name of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.runner import Runner

from ..dataset_check.settings import ABSENT, leaf_datasets, setting
from ..registry import HOOKS
from ..utils.files import check_output, folder_to_keep


@HOOKS.register_module()
class KeepFolders(Hook):
    """Images of one name in different folders keep their folders where results are written.

    It sets `image_folder` of the metrics and visualizers of this package.
    """

    def before_val_epoch(self, runner: Runner) -> None:
        """Look at the names of the validation's images."""
        self.tell(runner, runner.val_loop)

    def before_test_epoch(self, runner: Runner) -> None:
        """Look at the names of the test's images."""
        self.tell(runner, runner.test_loop)

    def tell(self, runner: Runner, loop) -> None:
        """Tell those that write."""
        writers = [m for m in loop.evaluator.metrics if getattr(m, "output_dir", None)]
        writers = [w for w in (*writers, runner.visualizer) if hasattr(w, "image_folder")]
        dataset = loop.dataloader.dataset
        if writers and hasattr(dataset, "get_data_info"):
            samples = map(dataset.get_data_info, range(len(dataset)))
            folder = folder_to_keep(s["img_path"] for s in samples if "img_path" in s)
            for writer in writers:
                writer.image_folder = folder


def check_outputs(outputs: Mapping[str, str | None], cfg: Config, *files: str) -> None:
    """Raise ValueError for an output among the files of the config's datasets or `files`.

    Args:
        outputs: option -> file or folder, or None.
    """
    for option, target in outputs.items():
        if target:
            check_output(option, target, dataset_folders(cfg), files)


def dataset_folders(cfg: Config) -> Iterator[str]:
    """The folders of images and annotations of all datasets of a config."""
    for split in ("train", "val", "test"):
        loader = cfg.get(f"{split}_dataloader") or {}
        for dataset in leaf_datasets(loader.get("dataset") or {}):
            try:
                root, prefixes = (
                    setting(DATASETS, dataset, f"data_{k}") for k in ("root", "prefix")
                )
            except ValueError:  # no such type, which whoever builds it says better
                continue
            root = "" if root in (ABSENT, None) else root
            for prefix in prefixes.values() if isinstance(prefixes, Mapping) else [""]:
                if folder := os.path.join(root, prefix or ""):
                    yield folder
