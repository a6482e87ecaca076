"""Which classes a model takes for which, from label maps of `tools/test.py --out`, as a picture.

    python tools/confusion_matrix.py CONFIG PREDICTIONS SAVE_DIR

Options as in mmseg's script of this name, which reads only classes that the type of a dataset
names, labels of 8 bits, and pairs files by their order. Writes confusion_matrix.png and .csv: in
row i and column j the pixels of class i, in percent, that were labelled j.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from mmengine.config import Config
from mmengine.registry import DefaultScope
from rich.progress import track

from mmmaskformer.datasets.loading import map_labels, read_labels
from mmmaskformer.engine.config_check import config_errors
from mmmaskformer.engine.runner import add_config_options, load_config
from mmmaskformer.registry import DATASETS
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.files import folder_to_keep, png_name, replacing

MOST_NUMBERS = 40
"""Classes up to which every cell shows its number."""


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("config", help="config file")
    parser.add_argument("prediction_path", type=Path, help="folder of label maps, as of --out")
    parser.add_argument("save_dir", type=Path, help="folder to write to")
    parser.add_argument("--color-theme", default="winter", help="a colour map of matplotlib")
    parser.add_argument("--title", default="Normalized Confusion Matrix")
    add_config_options(parser)
    return parser.parse_args()


def read_pair(sample: dict, path: Path, ignored: int, classes: int) -> tuple:
    """Truth and prediction, in the file `path`, (N,) of the pixels of one image that count."""
    if sample.get("seg_map_path") is None:
        raise ValueError(f"{sample['img_path']} has no label map to compare with")
    reduced = sample.get("reduce_zero_label")
    truth = read_labels(sample["seg_map_path"])
    truth = map_labels(truth, ignored, reduced, sample.get("label_map")).astype(np.int64)
    found = read_labels(str(path)).astype(np.int64) - int(bool(reduced))
    if truth.shape != found.shape:
        raise ValueError(
            f"{path} is {found.shape}, but its truth {sample['seg_map_path']} is {truth.shape}"
        )
    counted = truth != ignored
    truth, found = truth[counted], found[counted]
    for values, name in ((truth, sample["seg_map_path"]), (found, path)):
        if values.size and not 0 <= values.min() <= values.max() < classes:
            raise ValueError(
                f"{name} has classes from {values.min()} to {values.max()}; wanted 0 to "
                f"{classes - 1}"
            )
    return truth, found


def count(cfg: Config, folder: Path) -> tuple[np.ndarray, list[str]]:
    """Pixels (C, C) of each class (row) with each label (column); names of the classes."""
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    DefaultScope.get_instance("confusion_matrix", scope_name=cfg.get("default_scope", "mmseg"))
    with config_errors(cfg):
        dataset = DATASETS.build({**cfg.test_dataloader.dataset, "pipeline": []})
    names = list(dataset.metainfo["classes"])
    matrix = np.zeros((len(names), len(names)), np.int64)
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    kept = folder_to_keep(sample["img_path"] for sample in samples)
    for sample in track(samples, "confusion matrix", transient=True):
        path = folder / png_name(sample["img_path"], kept)
        pair = read_pair(sample, path, dataset.ignore_index, len(names))
        matrix += np.bincount(len(names) * pair[0] + pair[1], minlength=matrix.size).reshape(
            matrix.shape
        )
    return matrix, names


def draw(path: Path, shares: np.ndarray, names: list[str], title: str, theme: str) -> None:
    """Write the shares (C, C), in percent, as a PNG."""
    size = max(6.0, 0.45 * len(names))
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    figure.colorbar(axes.imshow(shares, cmap=theme, vmin=0, vmax=100), ax=axes)
    axes.set(title=title, xlabel="Prediction Label", ylabel="Ground Truth Label")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    if len(names) <= MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            if not np.isnan(share):
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", size=8)
    figure.savefig(path, format="png", dpi=150)


def main() -> None:
    args = parse_args()
    if not args.prediction_path.is_dir():
        raise ValueError(f"{args.prediction_path} is no folder; wanted label maps of --out in it")
    matrix, names = count(load_config(args), args.prediction_path)
    with np.errstate(invalid="ignore"):
        shares = 100 * matrix / matrix.sum(1, keepdims=True)
    with replacing(args.save_dir / "confusion_matrix.csv") as work:
        rows = [",".join(f"{share:.4f}" for share in row) for row in shares]
        work.write_text("\n".join(rows) + "\n")
    with replacing(args.save_dir / "confusion_matrix.png") as work:
        draw(work, shares, names, args.title, args.color_theme)
    print(f"wrote {args.save_dir / 'confusion_matrix.png'}")


if __name__ == "__main__":
    run(main)
