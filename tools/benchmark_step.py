"""Cost of a training step: this MaskFormer against mmseg's own, in one run.

Random weights, the same backbone, the same generated images; the two models take turns, so that
drift hits both. Memory is measured by one fresh process per cell.

    python tools/benchmark_step.py --segments 10 40
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.hub import get_config
from rich.console import Console
from rich.progress import track

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from mmmaskformer import core
from mmmaskformer.benchmarking import models, report
from mmmaskformer.benchmarking.batches import make_batch
from mmmaskformer.benchmarking.measure import (
    in_fresh_process,
    machine,
    peak_growth_mb,
    take_turns,
)
from mmmaskformer.files import replacing

OURS = Path(__file__).resolve().parents[1] / "configs/maskformer_r50_ade20k.py"
STOCK = "mmseg::maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512.py"
MODELS = ("ours", "mmseg")
PARTS = ("match + loss + backward", "whole step")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--size", type=int, default=512, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--segments", type=int, nargs="+", default=[10, 40])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", help="write the table to this Markdown file")
    return parser.parse_args()


def build(name: str, device: str):
    """Model with the backbone and the optimizer of our config, in training mode."""
    cfg = Config.fromfile(OURS)
    if name != "ours":
        stock = get_config(STOCK)
        stock.model.backbone, stock.optim_wrapper = cfg.model.backbone, cfg.optim_wrapper
        cfg = stock
    model = models.build(cfg, device).train()
    return model, models.build_optimizer(model, cfg, None, device)


def batch_of(args: argparse.Namespace, segments: int):
    return make_batch((args.size, args.size), args.batch, segments, 150, args.device)


def loss_only(name: str, model, samples: list):
    """A function from the decoder's outputs to their gradients: matching, losses, backward.

    Both models start from the same random class logits, mask embeddings and pixel embedding;
    mmseg forms the mask logits of all layers and queries from them, as its head does.
    """
    head, device = model.decode_head, samples[0].gt_sem_seg.data.device
    height, width = (size // 4 for size in samples[0].gt_sem_seg.data.shape[-2:])
    generator = torch.Generator().manual_seed(0)
    shapes = [(6, len(samples), 100, 151), (6, len(samples), 100, 256)]
    factors = [torch.randn(s, generator=generator).to(device) for s in shapes]
    pixels = torch.randn(len(samples), 256, height, width, generator=generator) * 0.3
    factors.append(pixels.to(device))

    def ours(leaves: list) -> dict:
        labels = torch.stack([s.gt_sem_seg.data[0] for s in samples])
        targets = core.segments_from_semantic(labels, head.num_classes)
        return head.criterion(core.FactoredOutput(*leaves), targets)

    def stock(leaves: list) -> dict:
        instances, metas = head._seg_data_to_instance_data(samples)
        mask_logits = torch.einsum("lbqc,bchw->lbqhw", *leaves[1:])
        return head.loss_by_feat(leaves[0], mask_logits, instances, metas)

    def run() -> None:
        leaves = [t.detach().requires_grad_() for t in factors]
        losses = (ours if name == "ours" else stock)(leaves)
        sum(v for k, v in losses.items() if "loss" in k).backward()

    return run


def measure_times(args: argparse.Namespace) -> dict:
    """{(segments, part): {model: median seconds}}."""
    built = {name: build(name, args.device) for name in MODELS}
    times: dict = {}
    for segments in args.segments:
        batch = batch_of(args, segments)
        for part in PARTS:
            functions = {
                name: loss_only(name, model, batch[1])
                if part == PARTS[0]
                else models.training_step(model, optimizer, *batch)
                for name, (model, optimizer) in built.items()
            }
            times[segments, part] = take_turns(
                functions, args.repeats, device=args.device, title=f"{segments} segments, {part}"
            )
    return times


def step_growth_mb(args: argparse.Namespace, name: str, segments: int) -> float:
    """Growth of peak memory by one training step, over what model and batch take."""
    step = models.training_step(*build(name, args.device), *batch_of(args, segments))
    return peak_growth_mb(step, args.device)


def measure_memory(args: argparse.Namespace) -> dict:
    """{(segments, model): MB}."""
    cells = [(segments, name) for segments in args.segments for name in MODELS]
    return {
        (segments, name): in_fresh_process(step_growth_mb, args, name, segments)
        for segments, name in track(cells, "peak memory", transient=True)
    }


def main() -> None:
    args = parse_args()
    memory, times = measure_memory(args), measure_times(args)
    rows = []
    for segments in args.segments:
        for part in PARTS:
            ours, stock = (times[segments, part][name] for name in MODELS)
            rows.append((segments, part + ", s", ours, stock, "{:.2f}"))
        ours, stock = (memory[segments, name] for name in MODELS)
        rows.append((segments, "growth of peak memory, MB", ours, stock, "{:.0f}"))
    title = (
        f"MaskFormer R50, {args.batch} images of {args.size}x{args.size}, "
        f"{machine(args.device)}, torch {torch.__version__}"
    )
    header = ("segments", "", "ours", "mmseg", "ratio")
    cells = [
        (str(n), what, form.format(a), form.format(b), f"{a / b:.2f}")
        for n, what, a, b, form in rows
    ]
    Console().print(report.rich_table(title, header, cells))
    if args.out:
        with replacing(args.out) as work:
            work.write_text(report.markdown(title, header, cells))


if __name__ == "__main__":
    main()
