"""Predict photographs, folders of them, and videos.

    mmmaskformer predict photo.jpg --model NAME_OR_CONFIG [--checkpoint FILE] --out results

Of each image an overlay and its labels are written, of each video a video. Exit codes: 0, all is
predicted; 1, some files were skipped; 2, a mistake; 130, Ctrl-C, with the frames of a video until
then.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..utils.files import check_output, folder_to_keep, png_name, replacing
from .options import add_model

if TYPE_CHECKING:
    from ..inference.prediction import Prediction
    from ..inference.video import Video


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    add = parser.add_argument
    add("source", nargs="+", help="image, folder, pattern, URL, video, or number of a camera")
    add_model(parser)
    add("--out", help="folder for what is written; default: results, or nothing with --json")
    add("--json", metavar="FILE", help="a json object a line and image; - for stdout")
    add("--masks", action="store_true", help="the json has masks, as COCO's run lengths")
    add(
        "--task",
        choices=["semantic", "panoptic", "instance"],
        help="default: panoptic where the model can, else semantic",
    )
    add("--object-threshold", type=float, help="least class probability of a panoptic segment")
    add("--overlap-threshold", type=float, help="least share of its mask that a segment must win")
    add("--classes", nargs="+", metavar="NAME", help="classes to keep; default: all")
    add("--size", type=int, help="short edge of the network's input; default: the config's")
    add("--device", default="auto", help="cpu, cuda, cuda:1, ...; default: a GPU if there is one")
    add("--half", action="store_true", help="compute in half precision")
    add("--tta", action="store_true", help="test-time augmentation, as in the config")
    add("--batch-size", type=int, default=1, help="images in one run of the network")
    add("--opacity", type=float, default=0.6, help="of the colours over the photograph")
    add("--side-by-side", action="store_true", help="videos show the original beside the overlay")
    add("--video-format", choices=["mp4", "avi"], default="mp4", help="of the videos written")
    add("--strict", action="store_true", help="stop at the first file that can not be read")


def main(args: argparse.Namespace) -> int:
    """Predict; the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: videos are closed
    stdout = sys.stdout
    with ExitStack() as stack:
        if args.json == "-":  # for what reads the pipe; all else goes to stderr
            stack.enter_context(redirect_stdout(sys.stderr))
        job = Job(args, stdout)
        if args.json not in (None, "-"):
            work = stack.enter_context(replacing(args.json))
            job.lines = stack.enter_context(work.open("w", encoding="utf-8"))
        return job.run()


class Job:
    """What one call of the command does.

    Attributes:
        lines: where a line of json goes for each image; None: nowhere.
        done: how many images were predicted.
    """

    def __init__(self, args: argparse.Namespace, stdout: TextIO) -> None:
        from ..inference.video import Video

        self.args = args
        self.lines = stdout if args.json == "-" else None
        self.done = 0
        self.out = args.out or (None if args.json else "results")
        found = listed(args.source)
        self.images = [item for item in found if not isinstance(item, Video)]
        self.videos = [item for item in found if isinstance(item, Video)]
        self.names = kept_folders(self.images)
        self.targets = video_names(self.videos, args.video_format)
        self.check()

    def check(self) -> None:
        """Raise OSError or ValueError if what is written would not go where it is wanted."""
        from ..core.checks import check_number

        check_number("--opacity", self.args.opacity, 0, 1)
        files = [path for path in self.images if "://" not in path]
        files += [video.source for video in self.videos if isinstance(video.source, str)]
        if self.args.json not in (None, "-"):
            check_output("--json", self.args.json, files=files)
            if Path(self.args.json).is_dir():
                raise ValueError(f"--json {self.args.json} is a folder; wanted the name of a file")
        if self.out is None:
            return
        out = Path(self.out).resolve()
        within = {out, *out.parents}
        read_whole = [text for text in self.args.source if Path(text).is_dir()]
        for folder in read_whole:  # the next call would read what this one writes
            if Path(folder).resolve() in within:
                raise ValueError(
                    f"--out {self.out} would write among the files of {folder}, which are read; "
                    "name another folder"
                )
        read = {Path(file).resolve().parent for file in files}
        for name in {"", *filter(None, self.names.values()), *self.targets.values()}:
            folder = (Path(self.out) / (name or "file")).resolve().parent
            if folder in read:
                raise ValueError(
                    f"--out {self.out} would write among the files of {folder}, which are read; "
                    "name another folder"
                )
        Path(self.out).mkdir(parents=True, exist_ok=True)
        if not os.access(self.out, os.W_OK):
            raise PermissionError(f"--out {self.out} can not be written to")

    def run(self) -> int:
        """Predict everything; the exit code."""
        from ..inference import Predictor

        options = ("device", "batch_size", "task", "object_threshold", "overlap_threshold")
        options += ("classes", "size", "half", "tta", "accept_license", "offline", "strict")
        settings = {name: getattr(self.args, name) for name in options}
        predictor = Predictor(self.args.model, self.args.checkpoint, **settings)
        skipped, start = 0, time.monotonic()
        try:
            if self.images:
                self.save(predictor(self.images))
                skipped += len(predictor.skipped)
            for video in self.videos:
                self.film(predictor(video), video)
                skipped += len(predictor.skipped)
        finally:
            if self.done:
                self.report(time.monotonic() - start)
        if skipped and not self.done:
            raise ValueError("nothing could be predicted; the reasons are above")
        return 1 if skipped else 0

    def report(self, seconds: float) -> None:
        """Print what was done, and how fast."""
        where = f", in {self.out}" if self.out else ""
        rate = f"{self.done / seconds:.2f} images a second"
        images = "image" if self.done == 1 else "images"
        print(f"{self.done} {images} in {seconds:.1f} s, {rate}{where}", file=sys.stderr)

    def save(self, predictions: Iterator[Prediction]) -> None:
        """Write the results of images."""
        for prediction in predictions:
            if self.out is not None:
                name = self.names[prediction.name]
                prediction.save(self.out, name, masks=self.args.masks, opacity=self.args.opacity)
            self.tell(prediction)

    def film(self, predictions: Iterator[Prediction], video: Video) -> None:
        """Write the frames of a video with their results over them."""
        import numpy as np

        from ..inference.video import VideoWriter

        with ExitStack() as stack:
            if self.out is not None:
                path = Path(self.out) / self.targets[video]
                writer = stack.enter_context(VideoWriter(path, video.rate))
            for prediction in predictions:
                if self.out is not None:
                    picture = prediction.plot(self.args.opacity)
                    original = [prediction.image] if self.args.side_by_side else []
                    writer.write(np.hstack([*original, picture]))
                self.tell(prediction)

    def tell(self, prediction: Prediction) -> None:
        """Count an image, and write its line of json."""
        self.done += 1
        if self.lines is not None:
            self.lines.write(json.dumps(prediction.to_json(masks=self.args.masks)) + "\n")
            self.lines.flush()


def listed(sources: Sequence[str]) -> list[str | Video]:
    """All files that some arguments name, each once."""
    from ..inference.sources import expand

    found: dict[str | Video, None] = {}
    for text in sources:
        camera = text.isdigit() and not Path(text).exists()
        items = expand(int(text) if camera else text)
        found.update(dict.fromkeys([items] if isinstance(items, str) else items))
    return list(found)


def kept_folders(images: Sequence[str]) -> dict[str, str | None]:
    """What the files of each image are called; None: as the image is.

    Images of one name in different folders keep their folders.
    """
    files = [path for path in images if "://" not in path]
    if len({Path(path).stem for path in files}) == len(files):
        return dict.fromkeys(images)
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in files])
    kept = {path: os.path.relpath(os.path.abspath(path), folder) for path in files}
    return {
        path: str(Path(kept[path]).with_suffix("")) if path in kept else None for path in images
    }


def video_names(videos: Sequence[Video], suffix: str) -> dict[Video, str]:
    """A file name for what is written of each video."""
    files = {v: os.path.abspath(v.source) for v in videos if isinstance(v.source, str)}
    folder = folder_to_keep(files.values())
    names = {video: png_name(file, folder) for video, file in files.items()}
    return {v: str(Path(names.get(v, f"{v.name}.png")).with_suffix(f".{suffix}")) for v in videos}
