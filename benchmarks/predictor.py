"""What the predictor takes beside the network, and whether a long video takes more memory.

    python -m benchmarks.predictor --out predictor

Random weights and a photograph of noise, smoothed so that its jpeg has a usual size. What is
compared takes turns. `overhead`: "ratio" is to the network, from the prepared input to class
probabilities and mask logits; lines with labels are to the network with its labels of the image's
size. `video`: resident memory of a fresh process that predicts, paints and writes a video of small
frames, at frame 100 and at the last.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.kit import report
from benchmarks.kit.arguments import add_measuring_arguments, check_device, make_folder, positive
from benchmarks.kit.measure import in_fresh_process, machine, resident_mb, take_turns
from mmmaskformer.inference import Predictor
from mmmaskformer.inference.predictor import results
from mmmaskformer.inference.sources import Frame
from mmmaskformer.inference.video import VideoWriter
from mmmaskformer.seg.segmentor import make_views

PARTS = ("overhead", "video")
EARLY = 100
"""Frame of a video after which memory should not grow any more."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default="maskformer_r50_ade20k", help="of the part overhead")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--size", type=positive, nargs=2, default=(768, 1024), metavar=("H", "W"))
    parser.add_argument("--frames", type=positive, default=2000, help="of the part video")
    add_measuring_arguments(parser, amp=False)
    parser.add_argument("--out", help="folder for predictor.md and .json")
    return parser.parse_args()


def photograph(size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 BGR."""
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 3)


def prepare(predictor: Predictor, image: np.ndarray, path: str) -> dict[str, Callable]:
    """What is timed, by name; the network's come first."""
    model, head = predictor.model, predictor.model.decode_head
    packed = predictor.pipeline(results(Frame(image[..., ::-1], "array")))
    data = {key: [packed[key]] for key in ("inputs", "data_samples")}
    data = model.data_preprocessor(data, False)

    @torch.inference_mode()
    def network():
        return make_views(model, data["inputs"], data["data_samples"])

    return {
        "network": network,
        "network, labels": lambda: head.fusion.labels(network(), image.shape[:2]),
        "Predictor, an array": lambda: predictor(image),
        "Predictor, a jpeg": lambda: predictor(path),
        "Predictor, a jpeg, labels": lambda: predictor(path).semantic,
    }


def overhead(args: argparse.Namespace) -> dict[str, dict]:
    """{what: {seconds, ratio}}."""
    predictor = Predictor(args.model, "random", device=args.device)
    image = photograph(tuple(args.size))
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "photograph.jpg")
        cv2.imwrite(path, image)
        functions = prepare(predictor, image, path)
        times = take_turns(
            functions, args.repeats, args.warmup, device=args.device, title="overhead"
        )
    found = {}
    for name, seconds in times.items():
        base = times["network, labels" if name.endswith("labels") else "network"]
        found[name] = dict(seconds=seconds, ratio=seconds / base)
    return found


def video_memory(frames: int) -> dict[str, float]:
    """{frame: resident MB} of this process after `EARLY` frames and after the last."""
    predictor = Predictor("maskformer_r18_shapes-panoptic", "random", device="cpu")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        source, target = (Path(folder) / name for name in ("source.mp4", "target.mp4"))
        image = photograph((96, 128))
        with VideoWriter(source, 25) as writer:
            for number in range(frames):
                writer.write(np.roll(image, number, 1))
        with VideoWriter(target, 25) as writer:
            for number, prediction in enumerate(predictor(source), 1):
                writer.write(prediction.plot())
                if number in (EARLY, frames):
                    found[str(number)] = resident_mb("VmRSS")
    return found


def main() -> None:
    args = parse_args()
    console = report.wide_console()
    try:
        check_device(args.device)
        make_folder(args.out)
        title = f"{machine(args.device)}; torch {torch.__version__}; fp32"
        found, tables = {}, []
        if "overhead" in args.parts:
            found["overhead"] = overhead(args)
            height, width = args.size
            rows = [
                [name, f"{values['seconds']:.3f}", f"{values['ratio']:.2f}"]
                for name, values in found["overhead"].items()
            ]
            tables.append((f"{args.model}, {height}x{width}", ["", "s", "ratio"], rows))
        if "video" in args.parts:
            found["video"] = in_fresh_process(video_memory, args.frames)
            first = found["video"].get(str(EARLY), 0)
            rows = [
                [name, f"{megabytes:.0f}", f"{megabytes / first:.3f}" if first else "-"]
                for name, megabytes in found["video"].items()
            ]
            tables.append(("Memory at a frame of a video", ["frame", "MB", "ratio"], rows))
        console.print(title, highlight=False)
        for one in tables:
            console.print(report.rich_table(*one))
        if args.out:
            run = {"title": title, "settings": {"model": args.model}, "results": found}
            shown = [(f"{name} ({title})", header, rows) for name, header, rows in tables]
            for path in report.write_tables(args.out, "predictor", run, shown):
                console.print(str(path), highlight=False, soft_wrap=True)
    except (OSError, ValueError, MemoryError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
