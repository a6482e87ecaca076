"""Train and test some configs one after another; one table and pictures of all of them.

Without arguments: MaskFormer and UperNet on the generated `shapes` dataset, and MaskFormer on its
panoptic ground truth. What is already trained is not trained again; a killed run goes on from its
last checkpoint. --photo ends with a photograph of your own, predicted by the trained model.
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from mmmaskformer.datasets.loading import LoadImageFromFile
from mmmaskformer.engine.run_log import logged
from mmmaskformer.engine.runner import read_config
from mmmaskformer.evaluation import read_ids
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.files import png_name, read_json, replacing
from mmmaskformer.utils.parameters import count_parameters
from mmmaskformer.visualization import label_panels, overlay_panels, panoptic_overlay, resized

ROOT = Path(__file__).resolve().parents[1]
CONSOLE = Console()
EVERY = 15
"""Seconds between the lines of progress where no bar can be drawn."""
LARGE = 384
"""Pixels of the longer side of pictures with names."""
SEEN = 256
"""The model sees a photograph with at most so many pixels on the longer side: it was trained on
images of 128x128, and finds nothing in large areas of one colour."""
KEYS = ("mIoU", "aAcc", "PQ", "step", "memory", "parameters")


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split("\n")[0])
    data = "efflite0_shapes"
    names = (f"maskformer_{data}", f"upernet_{data}", f"maskformer_{data}-panoptic")
    shapes = [ROOT / f"configs/{name}.py" for name in names]
    parser.add_argument("configs", nargs="*", type=Path, default=shapes)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/quickstart"))
    parser.add_argument("--images", type=int, default=6, help="rows of the picture")
    parser.add_argument("--photo", type=Path, help="a photograph to predict with the trained model")
    parser.add_argument("--retrain", action="store_true", help="do not reuse results")
    return parser.parse_args()


def follow(command: list, log: Path, watch) -> float:
    """Run a command with its output in `log`, calling `watch` now and then.

    Returns the peak resident memory of the process in MB; a failure ends the program with the
    last lines of the log.
    """
    with open(log, "w") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", *map(str, command)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
        # Ctrl-C reaches the child by itself; other ends of this program must take it along.
        atexit.register(process.kill)
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            watch()
            if pid:
                break
            time.sleep(0.5)
    atexit.unregister(process.kill)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(log.read_text().splitlines()[-15:])
        print(tail, file=sys.stderr)
        raise ValueError(f"{command[0]} failed; the whole output is in {log}")
    return usage.ru_maxrss / 1024


class Lines:
    """Lines of progress for files, pipes and logs; a terminal has a bar."""

    def __init__(self, name: str) -> None:
        self.name, self.text, self.begin = name, "", time.monotonic()
        self.last = self.begin

    def say(self, text: str) -> None:
        """Print a line, if there is no terminal."""
        self.text, self.last = text, time.monotonic()
        if not CONSOLE.is_terminal:
            print(f"{self.name}: {text} ({self.last - self.begin:.0f} s)", flush=True)

    def now_and_then(self, text: str) -> None:
        """Print a line, if it is news and the last one was some time ago."""
        if text != self.text and time.monotonic() - self.last >= EVERY:
            self.say(text)


def last_checkpoint(folder: Path) -> str:
    """The newest checkpoint of a work-dir."""
    return str(folder / (folder / "last_checkpoint").read_text().strip())


def train_and_test(config: Path, folder: Path) -> dict:
    cfg = read_config(config)
    total = cfg.train_cfg.max_iters
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), console=CONSOLE) as progress:
        task = progress.add_task(f"train {config.stem}", total=total, note="starting")

        said = Lines(config.stem)

        def watch() -> None:
            steps, _ = logged(folder)
            if steps:
                last = steps[-1]
                note = f"step {last['step']}/{total}, loss {last['loss']:.2f}"
                progress.update(task, completed=last["step"], note=note)
                said.now_and_then(note)

        command = ["tools/train.py", config, "--work-dir", folder, "--resume"]
        said.say(f"training, {total} steps")
        memory = follow(command, folder / "train.log", watch)
        checkpoint = last_checkpoint(folder)
        said.say("trained; testing")
        task = progress.add_task(f"test {config.stem}", total=None, note="")
        command = [
            "tools/test.py",
            config,
            checkpoint,
            "--work-dir",
            folder / "test",
            "--out",
            folder / "predictions",
        ]
        follow(command, folder / "test.log", lambda: None)
        progress.update(task, total=1, completed=1)
    metrics = read_json(max((folder / "test").glob("*/*.json"), key=os.path.getmtime))
    return {
        "mIoU": metrics["mIoU"],
        "aAcc": metrics["aAcc"],
        "PQ": metrics.get("PQ"),
        "step": statistics.median(entry["time"] for entry in logged(folder)[0]),
        "memory": memory,
        "parameters": parameters_of(cfg) / 1e6,
    }


def parameters_of(cfg: Config) -> int:
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules()
    return count_parameters(MODELS.build(cfg.model))


def prepare_folder(config: Path, folder: Path, retrain: bool) -> None:
    """Keep what an earlier run of the very same config left; move anything else aside."""
    text = read_config(config).pretty_text
    marker = folder / "config.txt"
    if folder.exists() and (retrain or not marker.is_file() or marker.read_text() != text):
        old = folder.with_name(f"{folder.name}.{time.strftime('%Y%m%d_%H%M%S')}")
        CONSOLE.print(f"{folder} holds another run; it is now {old.name}")
        folder.rename(old)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(text)


def read_labels(path: Path) -> np.ndarray:
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def true_labels(info: dict) -> np.ndarray:
    """The label map (H, W) of an image's ground truth, which may be segments."""
    path = Path(info["seg_map_path"])
    if "segments_info" not in info:
        return read_labels(path)
    ids = read_ids(path)
    labels = np.full(ids.shape, 255, np.uint8)
    for segment in info["segments_info"]:
        labels[ids == segment["id"]] = segment["category_id"]
    return labels


def draw(configs: list[Path], folders: list[Path], count: int, path: Path) -> None:
    """Some test images, ground truth and every model's prediction, as one picture."""
    from mmseg.registry import DATASETS
    from mmseg.utils import register_all_modules

    register_all_modules()
    dataset = DATASETS.build(read_config(configs[0]).test_dataloader.dataset)
    chosen = [dataset.get_data_info(i) for i in np.linspace(0, len(dataset) - 1, count, dtype=int)]
    images = [cv2.imread(info["img_path"])[..., ::-1] for info in chosen]
    columns = {"image": images, "ground truth": [true_labels(info) for info in chosen]}
    for config, folder in zip(configs, folders, strict=True):
        names = [png_name(info["img_path"]) for info in chosen]
        columns[config.stem] = [read_labels(folder / "predictions" / name) for name in names]
    label_panels(path, columns, dataset.metainfo["classes"], dataset.metainfo["palette"])


def draw_panoptic(config: Path, folder: Path, count: int, path: Path) -> None:
    """Ground truth and prediction of some test images, as segments over the images."""
    from mmseg.registry import DATASETS

    dataset = DATASETS.build(read_config(config).test_dataloader.dataset)
    meta = dataset.metainfo
    labels = {category: label for label, category in enumerate(meta.get("category_ids", []))}
    written = read_json(folder / "predictions/panoptic.json")["annotations"]
    found = {Path(entry["file_name"]).stem: entry for entry in written}
    rows = []
    for index in np.linspace(0, len(dataset) - 1, count, dtype=int):
        info = dataset.get_data_info(int(index))
        image = cv2.imread(info["img_path"])[..., ::-1]
        entry = found[Path(info["img_path"]).stem]
        segments = [
            {**s, "category_id": labels.get(s["category_id"], s["category_id"])}
            for s in entry["segments_info"]
        ]
        ids = read_ids(folder / "predictions/panoptic" / entry["file_name"])
        sides = [(read_ids(info["seg_map_path"]), info["segments_info"]), (ids, segments)]
        row = [resized(image, ids, LARGE)[0]]
        for side, infos in sides:
            row.append(panoptic_overlay(*resized(image, side, LARGE), infos, meta))
        rows.append(row)
    sheet = overlay_panels(rows, ["image", "ground truth", config.stem])
    cv2.imwrite(str(path), sheet[..., ::-1])


def read_photo(path: Path) -> np.ndarray:
    """A photograph (H, W, 3) uint8 RGB; OSError or ValueError, which names it, if it is none."""
    if not path.is_file():
        raise FileNotFoundError(f"--photo {path} does not exist or is no file")
    return LoadImageFromFile().transform({"img_path": str(path)})["img"][..., ::-1]


def draw_photo(config: Path, folder: Path, photo: Path, out: Path) -> list[Path]:
    """Predict a photograph with a trained model, and write what it finds."""
    from mmmaskformer.inference import Predictor
    from mmmaskformer.inference.sources import Frame

    image = np.ascontiguousarray(read_photo(photo))
    share = min(1, SEEN / max(image.shape[:2]))
    size = [max(1, round(edge * share)) for edge in image.shape[1::-1]]
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    predictor = Predictor(config, last_checkpoint(folder), device="cpu")
    (prediction,) = predictor.predict([Frame(small, str(photo))])
    # What the network made of it is still in factors, which become masks of any size.
    prediction = replace(prediction, image=image)
    known = ", ".join(prediction.meta["classes"])
    CONSOLE.print(
        f"{config.stem} was trained for a few minutes and knows nothing but {known}. What it finds "
        "in a photograph shows that everything works, and is no answer. README.md says how to get "
        "models that know photographs."
    )
    print(prediction)
    return list(prediction.save(out, legend=True).values())


def show(configs: list[Path], results: list[dict], path: Path) -> None:
    columns = {
        "mIoU": "{mIoU:.1f}",
        "aAcc": "{aAcc:.1f}",
        "PQ": "{PQ:.1f}",
        "s / step": "{step:.2f}",
        "peak MB": "{memory:.0f}",
        "params, M": "{parameters:.1f}",
    }
    table = Table(Column("model", no_wrap=True), *columns)
    lines = [" | ".join(("model", *columns)), "|".join(["---"] * (1 + len(columns)))]
    for config, result in zip(configs, results, strict=True):
        cells = [
            "-" if result[key] is None else form.format(**result)
            for key, form in zip(KEYS, columns.values(), strict=True)
        ]
        row = (config.stem, *cells)
        table.add_row(*row)
        lines.append(" | ".join(row))
    CONSOLE.print(table)
    path.write_text("".join(f"| {line} |\n" for line in lines))


def main() -> None:
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for config in args.configs:
        read_config(config)  # all of them, before the first one trains
    if args.images < 1:
        raise ValueError(f"--images must be at least 1, got {args.images}")
    if args.photo is not None:
        read_photo(args.photo)  # before the training
    configs = [config.resolve() for config in args.configs]
    folders = [args.work_dir.resolve() / config.stem for config in configs]
    results = []
    picture = args.work_dir / "predictions.png"
    for count, (config, folder) in enumerate(zip(configs, folders, strict=True), 1):
        prepare_folder(config, folder, args.retrain)
        saved = folder / "results.json"
        if saved.is_file():
            CONSOLE.print(f"{config.stem} is trained already (--retrain trains it again)")
            result = read_json(saved)
        else:
            result = train_and_test(config, folder)
            with replacing(saved) as work:
                work.write_text(json.dumps(result))
        results.append(result)
        draw(configs[:count], folders[:count], args.images, picture)
        if count < len(configs):
            CONSOLE.print(f"first predictions: {picture}")
    pictures = [picture]
    for config, folder in zip(configs, folders, strict=True):
        if has_segments((config, folder)):
            pictures.append(args.work_dir / f"{config.stem}.png")
            draw_panoptic(config, folder, args.images, pictures[-1])
    show(configs, results, args.work_dir / "results.md")
    CONSOLE.print(f"pictures: {', '.join(map(str, pictures))}")
    CONSOLE.print(f"table: {args.work_dir / 'results.md'}")
    if args.photo is not None:
        # The first model with segments, if there is one.
        config, folder = max(zip(configs, folders, strict=True), key=has_segments)
        written = draw_photo(config, folder, args.photo, args.work_dir / "photo")
        CONSOLE.print(f"your photograph: {', '.join(map(str, written))}")


def has_segments(trained: tuple[Path, Path]) -> bool:
    """Whether a model, its config and its folder, was tested on segments."""
    return (trained[1] / "predictions/panoptic.json").is_file()


if __name__ == "__main__":
    run(main)
