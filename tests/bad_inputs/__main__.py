"""Run the table, and say what became of every row: python -m tests.bad_inputs --help"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a process with threads can not be forked

from tests.bad_inputs.row import Row
from tests.bad_inputs.running import GOOD, VERDICTS, Outcome, run, run_all
from tests.bad_inputs.tables import ROWS
from tests.bad_inputs.workspace import make_data, make_downloads, make_models


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    parser.add_argument("--tools", nargs="+", help="only rows of these")
    parser.add_argument("--like", help="only rows with these words in their title")
    parser.add_argument("--workspace", type=Path, help="folder of good inputs, made if missing")
    parser.add_argument("--jobs", type=int, default=2, help="rows at a time")
    parser.add_argument("--verbose", action="store_true", help="print the output of bad rows")
    return parser.parse_args()


def preload(models: bool) -> None:
    """Import what the tools import, once for all rows; without models what datasets need."""
    import mmmaskformer  # noqa: F401, I001
    import cv2
    import torch

    import mmmaskformer.checkpoints.reading
    import mmmaskformer.datasets.preparation

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    if models:
        import mmdet.models  # noqa: F401
        import mmseg.apis  # noqa: F401

        import mmmaskformer.dataset_check.command
        import mmmaskformer.engine.registration  # noqa: F401


def table(rows: list[Row], outcomes: list[Outcome]) -> str:
    """Markdown: counts by kind, then the rows that are not as they should be."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    lines = ["| outcome | rows |", "|---|---|"]
    lines += [f"| {verdict} | {counts[verdict]} |" for verdict in VERDICTS]
    good = sum(counts[verdict] for verdict in GOOD)
    lines += ["", f"{good} of {len(rows)} rows ({good / len(rows):.1%}) are as they should be.", ""]
    lines += ["| tool | " + " | ".join(VERDICTS) + " |", "|---" * (1 + len(VERDICTS)) + "|"]
    for tool in dict.fromkeys(row.tool for row in rows):
        found = Counter(
            o.verdict for row, o in zip(rows, outcomes, strict=True) if row.tool == tool
        )
        lines.append(f"| {tool} | " + " | ".join(str(found[v]) for v in VERDICTS) + " |")
    lines += ["", "| tool | input | kind | wanted | outcome | last line |", "|---" * 6 + "|"]
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome.verdict not in GOOD:
            cells = (row.tool, row.name or row.arguments, row.kind, row.wants, outcome.verdict)
            cells = (*cells, outcome.last[-160:])
            lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    args = parse_args()
    rows = [
        row
        for row in ROWS
        if (not args.tools or row.tool in args.tools) and (args.like or "") in row.title
    ]
    models = any(not row.tool.startswith("prepare_") for row in rows)
    preload(models)
    workspace = args.workspace or Path(tempfile.mkdtemp()) / "inputs"
    if not workspace.is_dir():
        workspace.mkdir(parents=True)
        make_data(workspace)
        make_downloads(workspace)
        if models:
            make_models(workspace, run)
    found = {}
    for number, outcome in run_all(rows, workspace, args.jobs):
        found[number] = outcome
        title = rows[number].title[:110]
        print(f"{outcome.seconds:5.1f} s  {outcome.verdict:28} {title}", flush=True)
    outcomes = [found[number] for number in range(len(rows))]
    if args.workspace is None:
        shutil.rmtree(workspace.parent)
    text = table(rows, outcomes)
    if args.out:
        args.out.write_text(text, encoding="utf-8")
    for row, outcome in zip(rows, outcomes, strict=True):
        if args.verbose and outcome.verdict not in GOOD:
            print(f"---- {row.title} ({outcome.verdict}, wanted {row.wants!r})")
            print(outcome.text[-1500:])
    print(text.split("| tool | input")[0])


if __name__ == "__main__":
    main()
