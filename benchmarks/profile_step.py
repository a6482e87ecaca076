"""Where the time of a training step and of inference goes: ours, mmseg's, transformers'.

    python -m benchmarks.profile_step --out profile

MaskFormer with a ResNet and random weights, generated images and label maps, losses after every
decoder layer, the same optimizer; the implementations take turns. Every moment of a step belongs
to one stage, or to "rest"; clocks wait for the device at every change of stage, and the step
without them is given, too. Times are medians. What the stages mean where implementations differ:

* mask logits: products of mask embeddings and pixel embedding. mmseg and transformers form those
  of all queries of all layers, with gradient. Ours has the matched queries' here, straight from
  the features before the pixel decoder's last convolution unless they are many (see
  `core.folded_masks`), and those of all queries, without gradient, in the costs of matching.
* targets: labels to segments (ours) or to binary masks; mmseg's masks in the order of the
  queries, too.
* mask losses: ours computes their gradient by the mask logits in forward.
* backward of losses, mask logits: from the losses to the decoder's outputs and to what the mask
  logits were made of. In ours that may be the features before the pixel decoder's last
  convolution, whose weight then gets its gradient here.
* fusion to labels: from the mask logits to labels at --label-size. mmseg's writes score maps,
  too; transformers' resizes scores from stride 4, which is another result.
* transformers counts the decoder's input as the output of a layer: its losses are of 7, not 6.
  Its preprocessing is mmseg's, its own works on the host. Its image of inference is not padded to
  a multiple of 32, as ours is.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

import torch

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from benchmarks.kit import report, stage_report, stages
from benchmarks.kit import stage_wiring as wiring
from benchmarks.kit.arguments import add_measuring_arguments, check_device, make_folder, positive
from benchmarks.kit.measure import machine
from benchmarks.kit.transformers_model import RESNETS
from mmmaskformer.utils import command

OURS = Path(__file__).resolve().parents[1] / "configs/maskformer_r50_ade20k.py"


def parse_args() -> argparse.Namespace:
    parser = command.Parser(description=__doc__.split("\n")[0])
    names, parts = [*wiring.PROBES], [*wiring.STEPS]
    parser.add_argument("--models", nargs="+", choices=names, default=names)
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--depth", type=int, choices=RESNETS, default=50, help="of the ResNet")
    size = dict(type=positive, nargs=2, metavar=("H", "W"))
    parser.add_argument("--size", default=(512, 512), help="training images", **size)
    parser.add_argument("--test-size", default=(512, 683), help="image of inference", **size)
    parser.add_argument("--label-size", default=(768, 1024), help="labels of inference", **size)
    parser.add_argument("--batch", type=positive, default=2, help="images of a training step")
    parser.add_argument("--segments", type=positive, default=10, help="classes in each label map")
    add_measuring_arguments(parser)
    parser.add_argument("--out", help="folder for profile.md, .json and .png")
    return parser.parse_args()


def settings_of(args: argparse.Namespace) -> wiring.Settings:
    return wiring.Settings(
        config=str(OURS),
        depth=args.depth,
        size=tuple(args.size),
        test_size=tuple(args.test_size),
        label_size=tuple(args.label_size),
        batch=args.batch,
        segments=args.segments,
        device=args.device,
        amp=args.amp,
    )


def title_of(part: str, settings: wiring.Settings, repeats: int) -> str:
    if part == "training":
        height, width = settings.size
        what = f"{settings.batch} images of {height}x{width}, {settings.segments} segments each"
    else:
        (height, width), labels = settings.test_size, settings.label_size
        what = f"an image of {height}x{width} to labels of {labels[0]}x{labels[1]}"
    rounds = f"median of {repeats}" if repeats > 1 else "one turn"
    return (
        f"MaskFormer R{settings.depth}, {what}; {settings.amp or 'fp32'}; "
        f"{machine(settings.device)}; torch {torch.__version__}; {rounds}"
    )


def measure(args: argparse.Namespace, settings: wiring.Settings) -> dict:
    """What `stage_report` takes."""
    clock = stages.StageClock(synchronize=torch.cuda.synchronize if args.device != "cpu" else None)
    titles, results, turns = {}, {}, {}
    for part in dict.fromkeys(args.parts):
        steps = {name: wiring.STEPS[part](name, settings) for name in dict.fromkeys(args.models)}
        found = stages.profile(
            steps, args.repeats, args.warmup, clock, device=args.device, title=part
        )
        titles[part] = title_of(part, settings, args.repeats)
        results[part] = {n: stages.summarize(t, wiring.STAGES[part]) for n, t in found.items()}
        turns[part] = {n: [asdict(turn) for turn in t] for n, t in found.items()}
    return {
        "title": "; ".join(titles.values()),
        "titles": titles,
        "machine": {"processor": machine(args.device), "torch": torch.__version__},
        "settings": {**asdict(settings), "repeats": args.repeats, "warmup": args.warmup},
        "results": results,
        "turns_ns": turns,
    }


def main() -> None:
    args = parse_args()
    console = report.wide_console()
    check_device(args.device, args.amp)
    make_folder(args.out)
    run = measure(args, settings_of(args))
    for part, results in run["results"].items():
        header, rows = stage_report.cells(part, results)
        console.print(report.rich_table(stage_report.heading(part, run), header, rows))
    if args.out:
        for path in stage_report.write(args.out, run):
            console.print(str(path), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    command.run(main)
