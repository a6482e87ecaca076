"""python -m mmmaskformer.deploy FILE IMAGE ... --out FOLDER: predict images with an ONNX file."""

from __future__ import annotations

from pathlib import Path

from ..utils.command import Parser, run
from ..utils.files import check_output, folder_to_keep, png_name
from .result import LABELS, OVERLAY, PANOPTIC, SEGMENTS
from .runner import Runner


def main() -> None:
    parser = Parser(prog="python -m mmmaskformer.deploy", description=__doc__)
    parser.add_argument("file", help="a file of `mmmaskformer export --format onnx`")
    parser.add_argument("images", nargs="+", help="images to predict")
    parser.add_argument("--out", required=True, help="folder for overlays, labels and segments")
    args = parser.parse_args()
    check_output("--out", args.out, files=[args.file, *args.images])
    kept = folder_to_keep(args.images)
    targets = [Path(args.out, png_name(image, kept)).with_suffix("") for image in args.images]
    for target in targets:
        for end in (OVERLAY, LABELS, PANOPTIC, SEGMENTS):
            check_output("--out", f"{target}{end}", files=args.images)
    runner = Runner(args.file)
    for image, target in zip(args.images, targets, strict=True):
        for path in runner(image).save(target.parent, target.name):
            print(path)


if __name__ == "__main__":
    run(main)
