"""Make a trained checkpoint ready to publish: python tools/publish_model.py CHECKPOINT OUT

OUT.pth holds the weights in half precision, the names of the classes and a checksum, and nothing
that training needs. As OpenMMLab's published files do, its name ends with the beginning of the
file's SHA-256: OUT-1234abcd.pth. `Predictor`, `tools/test.py` and `load_from` take it.
"""

import argparse
import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mmmaskformer.checkpoints.conversion import write_checkpoint
from mmmaskformer.checkpoints.reading import load_checkpoint_file
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.text import listing

KEPT = ("dataset_meta", "iter", "epoch", "seed", "mmengine_version")
"""What stays of a checkpoint's `meta`; its config has paths of the machine that trained it."""


def parse_args() -> argparse.Namespace:
    parser = Parser(description="Make a trained checkpoint ready to publish")
    parser.add_argument("checkpoint", type=Path, help="what training wrote")
    parser.add_argument("out", type=Path, help="path to write, without the end of the name")
    parser.add_argument("--full", action="store_true", help="keep single precision")
    return parser.parse_args()


def weights_of(path: Path, full: bool) -> tuple[dict[str, torch.Tensor], dict]:
    """Weights and meta to publish of a checkpoint.

    Raises:
        ValueError: it is no checkpoint of mmengine, or a weight is too large for half precision.
    """
    content = load_checkpoint_file(path, map_location="cpu")
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"{path} has no state_dict; wanted a checkpoint that training wrote")
    halved = {
        name: weight if full or not weight.is_floating_point() else weight.half()
        for name, weight in content["state_dict"].items()
    }
    lost = [
        name
        for name, weight in content["state_dict"].items()
        if weight.is_floating_point() and not halved[name].isfinite().equal(weight.isfinite())
    ]
    if lost:
        raise ValueError(
            f"{path}: {listing(lost, most=4)} has values that half precision does not hold; "
            "--full keeps single precision"
        )
    meta = content.get("meta") or {}
    return halved, {key: meta[key] for key in KEPT if key in meta}


def main() -> None:
    args = parse_args()
    weights, meta = weights_of(args.checkpoint, args.full)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=args.out.parent) as folder:
        draft = Path(folder) / "weights.pth"
        write_checkpoint(weights, draft, meta)
        digest = hashlib.sha256(draft.read_bytes()).hexdigest()
        path = draft.replace(args.out.with_name(f"{args.out.name}-{digest[:8]}.pth"))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, {len(weights)} weights, sha256 {digest}")


if __name__ == "__main__":
    run(main)
