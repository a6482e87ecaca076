"""An exported R50 on onnxruntime beside the model itself, mmseg's MaskFormer and transformers'.

    python -m benchmarks.deploy --out deploy

Random weights and a generated image; what is compared takes turns. "network" is from the padded
input to class and mask logits, "labels" from the resized image to labels of the original size.
All use as many threads as torch has. "ratio" is to the first line of a table, "of the floor" to the
convolutions and matrix products of the model in torch, called one after the other on the same
tensors.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from benchmarks.inference import FOLDER, table
from benchmarks.kit import inference, models, report
from benchmarks.kit.arguments import add_measuring_arguments, make_folder, positive
from benchmarks.kit.floor import floor_of
from benchmarks.kit.measure import machine
from mmmaskformer.deploy import Runner
from mmmaskformer.deploy.fusion import semantic_labels
from mmmaskformer.deploy.metadata import network_input
from mmmaskformer.export import export
from mmmaskformer.utils.command import run
from mmmaskformer.zoo import load

OURS, STOCK = "maskformer_r50_ade20k", "mmseg-maskformer_r50_ade20k"


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", default=OURS, help="default: %(default)s")
    parser.add_argument("--stock", default=STOCK, help="mmseg's; default: %(default)s")
    for name, size in (("input", (512, 683)), ("original", (768, 1024))):
        parser.add_argument(f"--{name}", type=positive, nargs=2, default=size, metavar=("H", "W"))
    parser.add_argument("--file", help="an ONNX file of the model; default: one is made")
    add_measuring_arguments(parser, amp=False)
    parser.add_argument("--out", help="folder for deploy.md and .json")
    return parser.parse_args()


def networks(model, runner: Runner, image) -> dict:
    """{name: a function from the network's input to logits}."""
    batch = network_input(image, runner.meta)
    pixels = torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)
    inputs = model.data_preprocessor({"inputs": [pixels]}, False)["inputs"]

    @torch.inference_mode()
    def eager():
        return model.decode_head(model.extract_feat(inputs))

    names = ["class_logits", "mask_logits"]
    return {
        "eager": eager,
        inference.FLOOR: floor_of(eager),
        "onnxruntime": lambda: runner.session.run(names, {"image": batch}),
    }


def labels(args: argparse.Namespace, runner: Runner, image) -> dict:
    """{name: a function from the resized image to labels}."""
    configs = [str(FOLDER / f"{name}.py") for name in (args.model, args.stock)]
    sizes = inference.Sizes(tuple(args.input), tuple(args.original), (0, 0), (0, 0), classes=1)
    functions = inference.all_latencies(configs, sizes, "cpu")
    rule = runner.meta["semantic"]
    functions["onnxruntime and numpy"] = lambda: semantic_labels(
        runner.factors(image), args.original, rule
    )
    return functions


def main() -> None:
    args = parse_args()
    if args.device != "cpu":
        raise ValueError(f"--device {args.device}: the runner is measured on cpu")
    make_folder(args.out)
    for name in (args.model, args.stock):
        models.load_config(str(FOLDER / f"{name}.py"))
    model = load(args.model, "random", device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        file = args.file or str(Path(folder, "model.onnx"))
        if not args.file:
            export(model, file)
        runner = Runner(file, threads=torch.get_num_threads())
    raw = inference.raw_data(args.input, args.original)["inputs"][0]
    image = raw.flip(0).permute(1, 2, 0).contiguous().numpy()  # our pipelines load BGR
    turns = inference.Turns(args.repeats, args.warmup, "cpu")
    by = "x".join(map(str, args.input))
    tables = []
    for title, functions in (
        (f"Network, input of {by}", networks(model, runner, image)),
        (f"Labels from an input of {by}", labels(args, runner, image)),
    ):
        times = turns.take(functions, title)
        found = inference.with_floors(times)
        tables.append((found, table(title, found)))
    title = f"{machine('cpu')}; torch {torch.__version__}; fp32"
    console = report.wide_console()
    console.print(title, highlight=False)
    for _, shown in tables:
        console.print(report.rich_table(*shown))
    if args.out:
        results = dict(zip(("network", "labels"), (found for found, _ in tables), strict=True))
        written = {"title": title, "settings": vars(args), "results": results}
        named = [(f"{name} ({title})", header, rows) for _, (name, header, rows) in tables]
        for path in report.write_tables(args.out, "deploy", written, named):
            console.print(str(path), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run(main)
