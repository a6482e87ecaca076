"""What `tools/benchmark.py` measures of each config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config
from rich.progress import track

from mmmaskformer.utils.parameters import count_parameters

from . import models
from .batches import make_batch
from .complexity import count_flops
from .measure import in_fresh_process, peak_growth_mb, ran_out_of_memory, take_turns

PARTS = ("complexity", "train", "inference")


@dataclass(frozen=True)
class Settings:
    """What all configs of a run share.

    Attributes:
        size: H, W of the images.
        batch: images of a training step; inference and FLOPs are of one image.
        segments: classes in each generated label map.
        label_classes: classes to choose them from, which all configs know.
        amp: fp16, bf16 or None.
        options: as of `--cfg-options`, for every config.
        num_classes: of every config; None: its own.
    """

    size: tuple[int, int]
    batch: int
    segments: int
    label_classes: int
    repeats: int
    warmup: int
    device: str
    amp: str | None = None
    options: dict = field(default_factory=dict)
    num_classes: int | None = None

    def load(self, config: str) -> Config:
        return models.load_config(config, self.options, self.num_classes, models.FRAMEWORKS)

    def make_batch(self, images: int, cfg: Config) -> tuple:
        """Images and samples of the config's framework."""
        counts = images, self.segments, self.label_classes
        return make_batch(self.size, *counts, self.device, models.things_of(cfg))


def prepare_train(config: str, settings: Settings) -> Callable[[], None]:
    """A training step of a config's model."""
    cfg = settings.load(config)
    batch = settings.make_batch(settings.batch, cfg)
    model = models.build(cfg, settings.device).train()
    optimizer = models.build_optimizer(model, cfg, settings.amp, settings.device)
    return naming(config)(models.training_step(model, optimizer, *batch, settings.amp))


def prepare_inference(config: str, settings: Settings) -> Callable[[], None]:
    """Inference of one image by a config's model."""
    cfg = settings.load(config)
    model = models.build(cfg, settings.device).eval()
    return naming(config)(models.prediction(model, *settings.make_batch(1, cfg), settings.amp))


@contextmanager
def naming(config: str) -> Iterator[None]:
    """Errors of the block, or of the function that is decorated, become ValueErrors that name the
    config, or MemoryErrors where memory did not suffice."""
    try:
        yield
    except Exception as error:
        kind = MemoryError if ran_out_of_memory(error) else ValueError
        named = str(error).startswith("config ")
        text = str(error) if named else f"config {config}: {models.first_line(error)}"
        raise kind(text) from error


PREPARE = {"train": prepare_train, "inference": prepare_inference}


def peak_memory_mb(part: str, config: str, settings: Settings) -> float:
    """Peak of this process by model, optimizer and a part's work, over what the imports take.

    Two training steps: the optimizer's state exists from the end of the first on.
    """
    cfg = settings.load(config)
    models.register(models.framework_of(cfg))
    settings.make_batch(1, cfg)

    def run() -> None:
        step = PREPARE[part](config, settings)
        for _ in range(2 if part == "train" else 1):
            step()

    return peak_growth_mb(run, settings.device)


def complexity(config: str, settings: Settings) -> dict[str, float]:
    """Parameters and FLOPs, in fp32: autocast changes neither."""
    cfg = settings.load(config)
    model = models.build(cfg, settings.device).eval()
    predict = naming(config)(models.prediction(model, *settings.make_batch(1, cfg)))
    return {
        "parameters_m": count_parameters(model) / 1e6,
        "gflops": count_flops(model, predict) / 1e9,
    }


def measure(configs: Sequence[str], settings: Settings, parts: Sequence[str] = PARTS) -> dict:
    """{config's name: {metric: value}} of the parts asked for; the configs take turns."""
    results = {models.short_name(config): {} for config in configs}
    if "complexity" in parts:
        for config in track(configs, "complexity", transient=True):
            results[models.short_name(config)].update(complexity(config, settings))
    for part, clock in (("train", "train_step_s"), ("inference", "latency_s")):
        if part not in parts:
            continue
        for config in track(configs, f"{part}: memory", transient=True):
            taken = in_fresh_process(peak_memory_mb, part, config, settings)
            results[models.short_name(config)][f"{part}_memory_mb"] = taken
        functions = {models.short_name(c): PREPARE[part](c, settings) for c in configs}
        times = take_turns(
            functions,
            settings.repeats,
            settings.warmup,
            device=settings.device,
            title=f"{part}: time",
        )
        for name, value in times.items():
            results[name][clock] = value
    return results


def evaluate(config: str, checkpoint: str, options: dict, num_classes: int | None = None) -> dict:
    """mIoU, aAcc, PQ and PQ_st on the config's test set, by its evaluators and mmengine's runner.

    Raises:
        ValueError: the checkpoint does not fit, or the test failed.
    """
    from mmmaskformer.engine.runner import CheckWeights, build_runner, without_score_maps

    cfg = models.load_config(config, options, num_classes)
    without_score_maps(cfg)
    evaluators = cfg.test_evaluator
    evaluators = list(evaluators) if isinstance(evaluators, (list, tuple)) else [evaluators]
    if not any("PQ" in e.type or "Panoptic" in e.type for e in evaluators):
        evaluators.append(dict(type="mmmaskformer.SemanticPQMetric"))
    cfg.test_evaluator = evaluators
    cfg.load_from, cfg.launcher = checkpoint, "none"
    with TemporaryDirectory() as work_dir:
        cfg.work_dir = work_dir
        try:
            runner = build_runner(cfg)
            runner.register_hook(CheckWeights())
            metrics = runner.test()
        except Exception as error:
            raise ValueError(f"config {config}: {models.first_line(error)}") from error
    return {key: float(metrics[key]) for key in ("mIoU", "aAcc", "PQ", "PQ_st") if key in metrics}


def evaluate_all(configs: Sequence[str], checkpoints: Sequence[str], settings: Settings) -> dict:
    """{config's name: accuracies}, each in a process of its own: mmengine keeps global state."""
    if len(checkpoints) != len(configs):
        raise ValueError(
            f"--checkpoints must be one per config, {len(configs)}, got {len(checkpoints)}"
        )
    for checkpoint in checkpoints:
        if "://" not in checkpoint and not Path(checkpoint).is_file():
            raise ValueError(f"checkpoint {checkpoint} does not exist")
    return {
        models.short_name(config): in_fresh_process(
            evaluate, config, checkpoint, settings.options, settings.num_classes
        )
        for config, checkpoint in zip(configs, checkpoints, strict=True)
    }
