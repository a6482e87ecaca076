"""Test a model: python tools/test.py CONFIG CHECKPOINT [--aug-test] [--out DIR] [--show-dir DIR]

With --images FOLDER --out DIR, the images of a folder without labels are predicted.
"""

import argparse
from pathlib import Path

from matplotlib import pyplot
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, METRICS, DefaultScope

from mmmaskformer.dataset_check.settings import ABSENT, built_class, setting
from mmmaskformer.engine.config_check import config_errors
from mmmaskformer.engine.cpu import leave_cpu_distributed
from mmmaskformer.engine.outputs import check_outputs
from mmmaskformer.engine.runner import (
    CheckWeights,
    add_common_arguments,
    build_runner,
    check_datasets,
    load_config,
    without_score_maps,
)
from mmmaskformer.engine.unlabelled import use_images
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.files import check_output

WITHOUT_WINDOWS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")
"""Backends of matplotlib."""


def parse_args() -> argparse.Namespace:
    parser = Parser(description="Test (and evaluate) a segmentor")
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", help="checkpoint file or URL")
    parser.add_argument("--out", help="folder for label maps, and for COCO panoptic json and png")
    parser.add_argument(
        "--images", help="folder of images without labels, predicted instead of the test dataset"
    )
    parser.add_argument("--show", action="store_true", help="show predictions in a window")
    parser.add_argument("--show-dir", help="folder for painted predictions")
    parser.add_argument("--wait-time", type=float, default=2, help="seconds to show each one")
    parser.add_argument(
        "--aug-test",
        "--tta",
        dest="tta",
        action="store_true",
        help="test-time augmentation: the sizes and flips of the config's tta_pipeline",
    )
    parser.add_argument(
        "--no-check", action="store_true", help="do not look for mistakes in the dataset first"
    )
    add_common_arguments(parser)
    return parser.parse_args()


def check_window() -> None:
    """Raise ValueError where pictures can not be shown; matplotlib would only wait as long."""
    try:
        pyplot.switch_backend(pyplot.get_backend())
        backend = pyplot.get_backend()
    except ImportError as error:
        raise ValueError(f"--show can open no window: {error}; use --show-dir FOLDER") from error
    if backend.lower() in WITHOUT_WINDOWS:
        raise ValueError(
            f"--show can open no window, since matplotlib's backend is {backend!r}; start the tool "
            "where there is a screen, or use --show-dir FOLDER"
        )


def show_predictions(cfg: Config, args: argparse.Namespace) -> None:
    hook = cfg.default_hooks.setdefault("visualization", dict(type="SegVisualizationHook"))
    hook.update(draw=True, interval=1, show=args.show, wait_time=args.wait_time)
    if args.show_dir:
        cfg.visualizer.save_dir = args.show_dir


def write_predictions(cfg: Config, folder: str) -> None:
    evaluators = cfg.test_evaluator
    if isinstance(evaluators, dict) and "metrics" in evaluators:  # mmengine's Evaluator
        evaluators = evaluators["metrics"]
    evaluators = evaluators if isinstance(evaluators, (list, tuple)) else [evaluators]
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmseg")):
        writers = [e for e in evaluators if setting(METRICS, e, "output_dir") is not ABSENT]
    if not writers:
        names = ", ".join(str(evaluator.get("type")) for evaluator in evaluators)
        raise ValueError(
            f"--out {folder}: none of the metrics of test_evaluator ({names}) writes predictions"
        )
    for writer in writers:
        writer["output_dir"] = folder


def predict_images(cfg: Config, args: argparse.Namespace) -> None:
    """Let the config predict the folder of --images."""
    if not (args.out or args.show_dir or args.show):
        raise ValueError(f"--images {args.images}: wanted --out, --show-dir or --show, too")
    for option, target in {"--out": args.out, "--show-dir": args.show_dir}.items():
        if target:
            check_output(option, target, [args.images])
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmseg")):
        use_images(cfg, args.images, args.checkpoint)
    if not args.out:
        cfg.test_evaluator = []  # there is nothing to write, and nothing to evaluate


def use_tta(cfg: Config) -> None:
    missing = [key for key in ("tta_pipeline", "tta_model") if cfg.get(key) is None]
    if missing:
        raise ValueError(f"--aug-test needs {' and '.join(missing)} in {cfg.filename}")
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)


def for_training_only(hook: dict) -> bool:
    """Whether a hook has something to do in training or validation, and nothing in testing."""
    kind = built_class(HOOKS, hook)
    own = {name for name in dir(Hook) if getattr(kind, name, None) is not getattr(Hook, name)}
    in_both = {"after_load_checkpoint", "_before_epoch", "_after_epoch", "_before_iter"}
    in_both.add("_after_iter")
    trains = any("train" in name or "val" in name for name in own)
    return trains and not (own & in_both or any("test" in name for name in own))


def forget_training(cfg: Config) -> None:
    """Drop what only training needs: mmseg's visualization hook would load its data, and hooks
    such as mmengine's EarlyStoppingHook look for a training loop."""
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmseg")):
        hooks = [hook for hook in cfg.get("custom_hooks") or [] if not for_training_only(hook)]
    cfg.custom_hooks = hooks
    for key in ("train_dataloader", "train_cfg", "optim_wrapper", "param_scheduler", "strategy"):
        cfg.pop(key, None)


def expect_many_sizes(cfg: Config, options: dict) -> None:
    """Let cuDNN not search for the fastest algorithms, which it does anew for each size of image,
    unless the options say so."""
    if "env_cfg.cudnn_benchmark" not in options:
        cfg.merge_from_dict({"env_cfg.cudnn_benchmark": False})


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    outputs = {"--out": args.out, "--show-dir": args.show_dir}
    check_outputs(outputs, cfg, args.config, args.checkpoint)
    if args.show:
        check_window()
    forget_training(cfg)
    expect_many_sizes(cfg, args.cfg_options or {})
    if Path(args.checkpoint).is_dir():
        raise ValueError(f"checkpoint {args.checkpoint} is a folder; wanted a file in it")
    if "://" not in args.checkpoint and not Path(args.checkpoint).is_file():
        raise FileNotFoundError(f"checkpoint {args.checkpoint} does not exist or is no file")
    if args.checkpoint.endswith(".pkl"):
        raise ValueError(
            f"{args.checkpoint} is not a checkpoint of this package; convert it first: "
            "python tools/convert_weights.py SRC DST"
        )
    if args.images:
        predict_images(cfg, args)
    elif not args.no_check:
        check_datasets(cfg, ["test"])
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        show_predictions(cfg, args)
    if args.out:
        write_predictions(cfg, args.out)
    without_score_maps(cfg)  # metrics and pictures need labels only
    if args.tta:
        use_tta(cfg)
    runner = build_runner(cfg)
    runner.register_hook(CheckWeights())
    with config_errors(cfg):
        runner.test()
    leave_cpu_distributed()


if __name__ == "__main__":
    run(main)
