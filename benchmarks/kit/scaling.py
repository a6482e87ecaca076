"""How a training step's time and memory grow with one factor at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from rich.progress import track

from . import models, suite
from .measure import in_fresh_process, limit_memory, take_turns
from .report import METRICS

QUERIES = "model.decode_head.num_queries"
MEASURED = ("train_step_s", "train_memory_mb")


@dataclass(frozen=True)
class Factor:
    """What is varied.

    Attributes:
        values: the default ones, ascending.
        per: growth is stated per so many; None: as a power of the number of pixels.
        unit: what they are.
    """

    values: tuple[int, ...]
    per: int | None
    unit: str


FACTORS = {
    "size": Factor((256, 384, 512, 768, 1024), None, "pixels"),
    "segments": Factor((1, 5, 10, 20, 40, 100), 10, "segments"),
    "classes": Factor((11, 150, 847), 100, "classes"),
    "queries": Factor((20, 50, 100, 200, 400), 100, "queries"),
    "batch": Factor((1, 2, 4, 8, 16, 32, 64, 128, 256), 1, "image"),
}
"""Height and width; segments of an image; classes and queries of the model; images of a step."""


def at(settings: suite.Settings, factor: str, value: int) -> suite.Settings:
    """The settings with one factor changed."""
    changes = {
        "size": dict(size=(value, value)),
        "classes": dict(num_classes=value, label_classes=value),
        "queries": dict(options={**settings.options, QUERIES: value}),
    }
    return replace(settings, **changes.get(factor, {factor: value}))


def value_of(settings: suite.Settings, factor: str) -> int:
    """The factor's value at these settings."""
    if factor == "size":
        return settings.size[0]
    if factor == "queries":
        return settings.options[QUERIES]
    return settings.label_classes if factor == "classes" else getattr(settings, factor)


def grid(base: suite.Settings, chosen: Mapping[str, Sequence[int]]) -> dict:
    """{factor: {value: settings}}: each factor's values, ascending, all else as in `base`.

    Raises:
        ValueError: an unknown factor, a value that is not positive, more segments than classes.
    """
    points = {}
    for factor, values in chosen.items():
        if factor not in FACTORS:
            raise ValueError(f"factors are {', '.join(FACTORS)}, got {factor!r}")
        if not values or min(values) < 1:
            raise ValueError(f"{factor} must be positive numbers, got {list(values)}")
        points[factor] = {value: at(base, factor, value) for value in sorted(set(values))}
        for value, point in points[factor].items():
            if point.segments > point.label_classes:
                raise ValueError(
                    f"{factor} {value}: {point.segments} segments of {point.label_classes} classes"
                )
    return points


def limited_peak_mb(config: str, settings: suite.Settings) -> float:
    """`suite.peak_memory_mb` of training; MemoryError where memory does not suffice."""
    limit_memory(settings.device)
    with suite.naming(config):
        return suite.peak_memory_mb("train", config, settings)


def measure_peaks(
    configs: Sequence[str], points: Mapping[str, Mapping[int, suite.Settings]]
) -> dict:
    """{(factor, value, config): peak in MiB}, None from the first value on that does not fit."""
    peaks, known = {}, {}
    cells = [(f, v, c) for f, settings in points.items() for v in settings for c in configs]
    full = set()
    for factor, value, config in track(cells, "memory", transient=True):
        settings = points[factor][value]
        key = f"{config} {settings}"  # the point in the middle belongs to every factor
        if (factor, config) not in full and key not in known:
            try:
                known[key] = in_fresh_process(limited_peak_mb, config, settings)
            except MemoryError:
                full.add((factor, config))
        peaks[factor, value, config] = known.get(key)
    return peaks


def prepare_step(config: str, settings: suite.Settings, built: dict) -> Callable[[], None]:
    """A training step; those whose settings differ in the batch only share a model of `built`."""
    cfg = settings.load(config)
    batch = settings.make_batch(settings.batch, cfg)
    key = config, settings.num_classes, str(settings.options)
    if key not in built:
        model = models.build(cfg, settings.device).train()
        optimizer = models.build_optimizer(model, cfg, settings.amp, settings.device)
        built[key] = model, optimizer
    return suite.naming(config)(models.training_step(*built[key], *batch, settings.amp))


def prepare_steps(cells: Mapping[tuple, suite.Settings]) -> dict:
    """{(value, config): training step}, without those whose model or batch does not fit."""
    built, steps = {}, {}
    for (value, config), settings in cells.items():
        try:
            with suite.naming(config):
                steps[value, config] = prepare_step(config, settings, built)
        except MemoryError:
            continue
    return steps


def step_seconds(cells: Mapping[tuple, suite.Settings], title: str) -> dict:
    """{(value, config): median seconds of a training step}; all take turns, after two rounds
    without a clock or more. What does not fit beside the other models is left out."""
    settings = next(iter(cells.values()))
    limit_memory(settings.device)
    steps = prepare_steps(cells)
    for _ in range(max(2, settings.warmup)):  # all optimizers' state exists from the second on
        for key in list(steps):
            try:
                steps[key]()
            except MemoryError:
                del steps[key]
    return take_turns(steps, settings.repeats, device=settings.device, settle=False, title=title)


def measure(
    configs: Sequence[str], base: suite.Settings, chosen: Mapping[str, Sequence[int]]
) -> list[dict]:
    """One record per factor, value and config, `MEASURED` in each; None: not enough memory."""
    points = grid(base, chosen)
    peaks = measure_peaks(configs, points)
    rows = []
    for factor, settings in points.items():
        fitting = {
            (v, c): settings[v]
            for (f, v, c), peak in peaks.items()
            if f == factor and peak is not None
        }
        try:
            times = in_fresh_process(step_seconds, fitting, f"{factor}: time") if fitting else {}
        except MemoryError:  # killed, or too little left for what did fit
            times = {}
        rows += [
            dict(
                factor=factor,
                value=value,
                config=models.short_name(config),
                train_step_s=times.get((value, config)),
                train_memory_mb=peaks[factor, value, config],
            )
            for value in settings
            for config in configs
        ]
    return rows


@dataclass(frozen=True)
class Growth:
    """A fit: value = a + b x, or a x^b where `power`."""

    a: float
    b: float
    power: bool

    def at(self, x: float) -> float:
        return self.a * x**self.b if self.power else self.a + self.b * x


def fit(xs: Sequence[float], ys: Sequence[float], *, power: bool) -> Growth:
    """Least squares: a line, or a power law as a line of the logarithms."""
    if power:
        b, log_a = np.polyfit(np.log(xs), np.log(ys), 1)
        return Growth(float(np.exp(log_a)), float(b), True)
    b, a = np.polyfit(xs, ys, 1)
    return Growth(float(a), float(b), False)


def x_of(factor: str, value: int) -> int:
    """What growth is measured over: pixels of an image, or the value itself."""
    return value if FACTORS[factor].per else value**2


def growths(rows: Sequence[Mapping], base: suite.Settings) -> list[dict]:
    """A record per factor, config and metric with two measured values or more: the fit, and in
    `text` what it says; shares are of the fit's value at `base`."""
    found = []
    keys = dict.fromkeys((row["factor"], row["config"]) for row in rows)
    for factor, config in keys:
        mine = [row for row in rows if (row["factor"], row["config"]) == (factor, config)]
        for metric in MEASURED:
            points = [(x_of(factor, r["value"]), r[metric]) for r in mine if r[metric] is not None]
            if len(points) > 1:
                growth = fit(*zip(*points, strict=True), power=not FACTORS[factor].per)
                middle = growth.at(x_of(factor, value_of(base, factor)))
                record = dict(factor=factor, config=config, metric=metric, **asdict(growth))
                found.append({**record, "text": growth_text(growth, FACTORS[factor], middle)})
    return found


def growth_text(growth: Growth, factor: Factor, middle: float) -> str:
    if growth.power:
        return f"{factor.unit}^{growth.b:.2f}"
    many = "" if factor.per == 1 else f"{factor.per} "
    if round(middle, 3) <= 0:  # less than it shows: a line through noise
        return "-"
    share = round(100 * growth.b * factor.per / middle, 1) + 0.0  # no "-0.0"
    return f"{share:+.1f} % per {many}{factor.unit}"


def measured_table(rows: Sequence[Mapping]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of what was measured, configs side by side."""
    configs = list(dict.fromkeys(row["config"] for row in rows))
    header = ["", *(f"{c}: {METRICS[m].label}" for c in configs for m in MEASURED)]
    table: dict = {}
    for row in rows:
        line = table.setdefault((row["factor"], row["value"]), [])
        none = "no memory" if row["train_memory_mb"] is None else "-"
        line += [none if row[m] is None else METRICS[m].form.format(row[m]) for m in MEASURED]
    return header, [[f"{factor} {value}", *line] for (factor, value), line in table.items()]


def growth_table(found: Sequence[Mapping]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the fits, configs side by side."""
    columns = list(dict.fromkeys((g["config"], m) for g in found for m in MEASURED))
    texts = {(g["factor"], g["config"], g["metric"]): g["text"] for g in found}
    header = ["factor", *(f"{c}: {METRICS[m].label}" for c, m in columns)]
    factors = dict.fromkeys(g["factor"] for g in found)
    return header, [[f, *(texts.get((f, *column), "-") for column in columns)] for f in factors]
