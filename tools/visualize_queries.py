"""Show which pixels the queries of one or several models answer for, side by side:

    python tools/visualize_queries.py --model CONFIG CHECKPOINT [--model CONFIG CHECKPOINT ...]

With a semantic and a panoptic model of the same classes this is the paper's Figure I: one query
for all cars there, one for each car here.
"""

import argparse
import sys
from pathlib import Path

import mmcv
import numpy as np
import torch
from matplotlib.figure import Figure
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmengine.runner import load_checkpoint
from rich.progress import track

from mmmaskformer.core.fusion import confident_queries
from mmmaskformer.core.views import check_finite, output_maps, views_of
from mmmaskformer.engine.config_check import check_config, config_errors
from mmmaskformer.engine.outputs import check_outputs
from mmmaskformer.engine.runner import read_config
from mmmaskformer.engine.trained_on import contradictions
from mmmaskformer.heads.base import naming
from mmmaskformer.registry import DATASETS, MODELS
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.files import check_input
from mmmaskformer.utils.text import unreadable
from mmmaskformer.visualization.queries import QueryMasks, query_panels


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model", nargs=2, action="append", required=True, metavar=("CONFIG", "CHECKPOINT")
    )
    parser.add_argument("--images", nargs="*", help="files; default: from the first test dataset")
    parser.add_argument("--count", type=int, default=4, help="number of images of the dataset")
    parser.add_argument("--classes", nargs="*", help="names; default: all")
    parser.add_argument("--score-thr", type=float, default=0.3, help="least class probability")
    parser.add_argument(
        "--hide-images", action="store_true", help="show the masks alone, as a licence may demand"
    )
    parser.add_argument("--out", default="queries.png", help="picture to write")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


class Model:
    """A model of a config with its weights, the classes, and the pipeline for image files."""

    def __init__(self, config: str, checkpoint: str, device: str) -> None:
        self.cfg = cfg = read_config(config)
        check_config(cfg)
        init_default_scope(cfg.get("default_scope", "mmseg"))
        cfg.model.backbone.init_cfg = None
        with config_errors(cfg):
            self.model = MODELS.build(cfg.model).to(device).eval()
        try:
            content = load_checkpoint(self.model, checkpoint, map_location="cpu", strict=True)
        except RuntimeError as error:
            raise ValueError(f"checkpoint {checkpoint} does not fit {config}: {error}") from error
        self.classes = read_classes(cfg.test_dataloader.dataset)
        for line in contradictions(checkpoint, content, self.model, self.classes):
            print(f"warning: {line}", file=sys.stderr)
        steps = [s for s in cfg.test_dataloader.dataset.pipeline if "Annotations" not in s.type]
        self.pipeline = Compose(steps)
        self.dataset = cfg.test_dataloader.dataset

    @torch.no_grad()
    def answer(self, path: str, wanted: list, threshold: float) -> QueryMasks:
        """The confident queries of the wanted classes (all if empty), best first."""
        packed = self.pipeline(dict(img_path=path, seg_fields=[], reduce_zero_label=False))
        batch = dict(inputs=[packed["inputs"]], data_samples=[packed["data_samples"]])
        batch = self.model.data_preprocessor(batch, False)
        sample, inputs = batch["data_samples"][0], batch["inputs"]
        head = self.model.decode_head
        output = head.factors(self.model.extract_feat(inputs))
        (view,) = views_of(output, inputs.shape[-2:], [sample.metainfo["img_shape"][:2]])
        with naming([dict(img_path=path)]):
            check_finite([view])
        sure = confident_queries(view, threshold)
        names = [self.classes[label] for label in sure.labels.tolist()]
        size = sample.metainfo["ori_shape"][:2]
        masks = output_maps(sure.view, size, slice(0, size[0])) > 0
        chosen = [
            k
            for k in sure.scores.argsort(descending=True).tolist()
            if (not wanted or names[k] in wanted) and masks[k].any()
        ]
        return QueryMasks(
            sure.queries[chosen].tolist(),
            [names[k] for k in chosen],
            sure.scores[chosen].tolist(),
            masks[chosen].cpu().numpy(),
        )


def read_classes(dataset: dict) -> tuple:
    """Names of a dataset's classes: the config's, the type's own, or the files'."""
    for metainfo in (dataset.get("metainfo") or {}, DATASETS.get(dataset["type"]).METAINFO):
        if metainfo.get("classes"):
            return metainfo["classes"]
    return DATASETS.build(dataset).metainfo["classes"]


def titles(models: list) -> list[str]:
    """A different name for each model: its config's, with the checkpoint's where it must be."""
    names = [Path(config).stem for config, _ in models]
    if len(set(names)) < len(names):
        names = [f"{name} {Path(path).stem}" for name, (_, path) in zip(names, models, strict=True)]
    return [f"{i}: {name}" if names.count(name) > 1 else name for i, name in enumerate(names, 1)]


def read_image(path: str) -> np.ndarray:
    """Image (H, W, 3) RGB; ValueError if the file is none."""
    check_input(path, "image")
    try:
        return mmcv.imread(path, channel_order="rgb")
    except Exception as error:
        raise unreadable(f"image {path}", error) from error


def main() -> None:
    args = parse_args()
    if args.count < 1:
        raise ValueError(f"--count must be at least 1, got {args.count}")
    if args.device.split(":")[0] not in ("cpu", "cuda"):
        raise ValueError(f"--device must be cpu, cuda or cuda:NUMBER, got {args.device!r}")
    if args.device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"--device {args.device}: no GPU is there; wanted cpu")
    if not 0 <= args.score_thr <= 1:
        raise ValueError(f"--score-thr must be a probability, got {args.score_thr}")
    kinds = Figure().canvas.get_supported_filetypes()
    if Path(args.out).suffix[1:] not in kinds:
        raise ValueError(f"--out {args.out} must end in one of .{', .'.join(sorted(kinds))}")
    for _, checkpoint in args.model:
        if not Path(checkpoint).is_file():
            raise FileNotFoundError(f"checkpoint {checkpoint} does not exist")
    models = [Model(config, checkpoint, args.device) for config, checkpoint in args.model]
    files = [path for model in args.model for path in model]
    for model in models:
        check_outputs({"--out": args.out}, model.cfg, *files, *(args.images or []))
    for model in models:
        unknown = set(args.classes or []) - set(model.classes)
        if unknown:
            raise ValueError(f"--classes {sorted(unknown)} are not among {list(model.classes)}")
    paths = args.images
    if not paths:
        dataset = DATASETS.build(models[0].dataset)
        indices = np.linspace(0, len(dataset) - 1, min(args.count, len(dataset)), dtype=int)
        paths = [dataset.get_data_info(int(i))["img_path"] for i in indices]
    images = [read_image(path) for path in paths]
    answers = {
        title: [
            model.answer(path, args.classes, args.score_thr)
            for path in track(paths, description=title)
        ]
        for title, model in zip(titles(args.model), models, strict=True)
    }
    query_panels(args.out, images, answers, hide_images=args.hide_images)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    run(main)
