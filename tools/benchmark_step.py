"""Cost of a training step: this MaskFormer against mmseg's own, in one run.

Random weights, the same backbone, the same generated images; the two models take turns, so that
drift hits both. Memory is measured by one fresh process per cell.

    python tools/benchmark_step.py --segments 10 40
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.structures import PixelData
from rich.console import Console
from rich.progress import track
from rich.table import Table

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from mmmaskformer import core

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
    parser.add_argument("--memory-of", nargs=2, metavar=("MODEL", "SEGMENTS"), help="internal")
    return parser.parse_args()


def build(name: str, device: str):
    """Model with the backbone of our config, in training mode, and its optimizer."""
    from mmseg.registry import MODELS as REGISTRY
    from mmseg.utils import register_all_modules

    register_all_modules()
    torch.manual_seed(0)
    ours = Config.fromfile(OURS).model
    ours.backbone.init_cfg = None
    model = ours if name == "ours" else get_config(STOCK).model
    model.backbone = ours.backbone
    model = REGISTRY.build(model).to(device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    return model, torch.optim.AdamW(trained, lr=1e-4)


def make_batch(args: argparse.Namespace, segments: int):
    """Images and label maps with `segments` classes each, as Voronoi cells."""
    from mmseg.structures import SegDataSample

    rng = np.random.default_rng(segments)
    ys, xs = np.mgrid[: args.size, : args.size]
    samples = []
    for _ in range(args.batch):
        points = rng.uniform(0, args.size, (segments, 2))
        distance = [(ys - y) ** 2 + (xs - x) ** 2 for y, x in points]
        classes = rng.permutation(150)[:segments]
        labels = torch.from_numpy(classes[np.argmin(distance, 0)])
        shape = (args.size, args.size)
        meta = ("img_shape", "ori_shape", "batch_input_shape")
        sample = SegDataSample(metainfo={**dict.fromkeys(meta, shape), "img_path": "generated"})
        sample.gt_sem_seg = PixelData(data=labels[None])
        samples.append(sample.to(args.device))
    images = torch.randn(args.batch, 3, args.size, args.size, device=args.device)
    return images, samples


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


def whole_step(model, optimizer, images, samples):
    """Forward, loss, backward, clip, update."""

    def step() -> None:
        optimizer.zero_grad()
        losses = model.loss(images, samples)
        sum(v for k, v in losses.items() if "loss" in k).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()

    return step


def seconds(function, device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure_times(args: argparse.Namespace) -> dict:
    """{(segments, part, model): median seconds}."""
    models = {name: build(name, args.device) for name in MODELS}
    times: dict = {}
    for segments in args.segments:
        batch = make_batch(args, segments)
        for part in PARTS:
            functions = {
                name: loss_only(name, model, batch[1])
                if part == PARTS[0]
                else whole_step(model, optimizer, *batch)
                for name, (model, optimizer) in models.items()
            }
            for _ in track(range(args.repeats), f"{segments} segments, {part}", transient=True):
                for name, function in functions.items():
                    # Once without a clock: the other model has taken the caches and the heap.
                    function()
                    taken = seconds(function, args.device)
                    times.setdefault((segments, part, name), []).append(taken)
    return {key: statistics.median(values) for key, values in times.items()}


def resident_mb(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"{field} not found in /proc/self/status")


def peak_growth_mb(args: argparse.Namespace, name: str, segments: int) -> float:
    """Growth of peak memory by one training step, over what model and batch take."""
    model, optimizer = build(name, args.device)
    step = whole_step(model, optimizer, *make_batch(args, segments))
    if args.device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    before = resident_mb("VmRSS")
    step()
    return resident_mb("VmHWM") - before


def measure_memory(args: argparse.Namespace) -> dict:
    """{(segments, model): MB}."""
    memory = {}
    cells = [(segments, name) for segments in args.segments for name in MODELS]
    for segments, name in track(cells, "peak memory", transient=True):
        command = [sys.executable, "-W", "ignore", __file__, "--memory-of", name, str(segments)]
        for flag in ("size", "batch", "device"):
            command += [f"--{flag}", str(getattr(args, flag))]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        memory[segments, name] = json.loads(result.stdout.splitlines()[-1])
    return memory


def machine(device: str) -> str:
    if device != "cpu":
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def main() -> None:
    args = parse_args()
    if args.memory_of:
        print(json.dumps(peak_growth_mb(args, args.memory_of[0], int(args.memory_of[1]))))
        return
    memory, times = measure_memory(args), measure_times(args)
    rows = []
    for segments in args.segments:
        for part in PARTS:
            ours, stock = (times[segments, part, name] for name in MODELS)
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
    table = Table(*header, title=title)
    for row in cells:
        table.add_row(*row)
    Console().print(table)
    if args.out:
        lines = [title, "", "| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in cells]
        Path(args.out).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
