"""Trains and tests the models of docs/results.md, and writes its tables and pictures.

    python -m benchmarks.trainings                              # lists the studies and their rows
    python -m benchmarks.trainings run camvid                   # trains and tests all its rows
    python -m benchmarks.trainings run camvid --row MaskFormer --seed 0
    python -m benchmarks.trainings report                       # tables, pictures of what is done
    python -m benchmarks.trainings report --add docs/trained/trained.json  # and of other machines

`benchmarks/trainings.json` says what the studies are. What is done already is not done again, and a
training that was stopped goes on from its last checkpoint. Two commands may share a work-dir.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kit import examples, report, runs, trained, trained_json
from benchmarks.kit.studies import Training, read_studies, trainings
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.files import replacing
from mmmaskformer.utils.locks import hold, release

ROOT = Path(__file__).resolve().parents[1]
LOCK = ".trainings.lock"
BFLOAT16 = "optim_wrapper.dtype=bfloat16"
"""The precision of all trainings; on a CPU, --amp has no other."""


def chosen(args: argparse.Namespace, studies: Sequence[dict]) -> list[Training]:
    """The trainings that the arguments ask for; ValueError if they ask for none."""
    found = [
        training
        for training in trainings(studies)
        if training.study == args.study
        if args.row in (None, training.row)
        if args.seed in (None, training.seed)
    ]
    if not found:
        rows = [f"{t.study}: {t.row}, seed {t.seed}" for t in trainings(studies)]
        raise ValueError(
            f"there is no training of study {args.study!r}, row {args.row!r}, seed {args.seed!r}; "
            f"there are {'; '.join(rows)}"
        )
    return found


def train_and_test(training: Training, folder: Path) -> None:
    """Do what is left of a training and its tests, unless another command is at it."""
    try:
        hold(folder, LOCK)
    except RuntimeError as error:
        print(error)
        return
    train(training, folder)
    for name, arguments in training.tests.items():
        test(training, folder, name, arguments)
    release(folder, LOCK)


def train(training: Training, folder: Path) -> None:
    """Train, or go on training, unless that is done."""
    if (folder / runs.MEMORY).is_file():
        return
    command = ["tools/train.py", f"configs/{training.config}.py", "--work-dir", folder]
    command += ["--amp", "--resume", "--cfg-options", f"randomness.seed={training.seed}"]
    peak = follow([*command, BFLOAT16, *training.options])
    with replacing(folder / runs.MEMORY) as work:
        work.write_text(json.dumps({"peak_mb": round(peak)}))


def test(training: Training, folder: Path, name: str, arguments: Sequence[str]) -> None:
    """Run one of the tests, unless that is done."""
    work_dir = runs.test_folder(folder, name)
    if (work_dir / runs.TESTED).is_file():
        return
    checkpoint = folder / (folder / "last_checkpoint").read_text().strip()
    command = ["tools/test.py", f"configs/{training.config}.py", checkpoint]
    command += ["--work-dir", work_dir, "--out", work_dir / "predictions"]
    arguments = list(arguments)
    if training.options and "--cfg-options" not in arguments:
        arguments.append("--cfg-options")
    follow([*command, *arguments, *training.options])
    with replacing(work_dir / runs.TESTED) as work:
        work.write_text(name)


def follow(command: Sequence) -> float:
    """Run one of the tools in the repository's root; returns its peak resident memory in MB.

    Raises:
        ValueError: it failed.
    """
    words = [str(word) for word in command]
    print("$ python", *words, flush=True)
    process = subprocess.Popen([sys.executable, "-W", "ignore", *words], cwd=ROOT)
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.terminate()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ValueError(f"{words[0]} ended with exit code {process.returncode}; see above")
    return usage.ru_maxrss / 1024


def collect(work_dir: Path, studies: Sequence[dict], others: Sequence[Path] = ()) -> dict:
    """The content of trained.json: every finished training of every study.

    Args:
        others: more files of this kind. Of a training that is in several places, that of the
            work-dir counts, else the first.

    Raises:
        FileNotFoundError, ValueError: one of the files is missing or damaged, or has a training
            that no study has.
    """
    found: dict = {
        "titles": {s["study"]: s["title"] for s in studies},
        "claims": {s["study"]: s["claims"] for s in studies},
        "trainings": [],
    }
    elsewhere = trained_json.read(others, [t.about for t in trainings(studies)])
    for training in trainings(studies):
        folder = training.folder(work_dir)
        if (folder / runs.MEMORY).is_file():
            found["trainings"].append({**training.about, **runs.read_run(folder)})
        else:
            found["trainings"] += [r for r in elsewhere if training.about.items() <= r.items()][:1]
    return found


def write_report(args: argparse.Namespace, studies: Sequence[dict]) -> None:
    """Write trained.json, its tables and the pictures of each study; print the tables."""
    content = collect(args.work_dir, studies, args.add)
    if not content["trainings"]:
        places = ", ".join(map(str, [f"--work-dir {args.work_dir}", *args.add]))
        raise ValueError(f"{places}: there is no finished training of a study")
    tables = trained.tables(content)
    args.out.mkdir(parents=True, exist_ok=True)
    with replacing(args.out / "trained.json") as work:
        work.write_text(trained_json.dumps(content))
    with replacing(args.out / "tables.md") as work:
        work.write_text(trained.page(tables), encoding="utf-8")
    console = report.wide_console()
    for table in tables:
        console.print(report.rich_table(*table))
    for study, title in content["titles"].items():
        if of_study := [t for t in content["trainings"] if t["study"] == study]:
            picture = args.out / f"curves-{study}.png"
            trained.draw_curves(of_study, title, picture)
            console.print(str(picture), soft_wrap=True, highlight=False)
    for study in studies:
        draw_examples(study, args)


def draw_examples(study: dict, args: argparse.Namespace) -> None:
    """Write the picture of the study's examples, of the first test of each, if all were tested."""
    seed = study["seeds"][0]
    shown = [t for t in trainings([study]) if t.seed == seed and t.row in study.get("examples", ())]
    if not any((t.folder(args.work_dir) / runs.MEMORY).is_file() for t in shown):
        return
    folders = {t.row: runs.test_folder(t.folder(args.work_dir), next(iter(t.tests))) for t in shown}
    if missing := [row for row, folder in folders.items() if not (folder / runs.TESTED).is_file()]:
        print(f"{study['title']}: no picture of examples, as --work-dir has no test of {missing}")
        return
    predictions = {row: folder / "predictions" for row, folder in folders.items()}
    config = ROOT / f"configs/{shown[0].config}.py"
    examples.draw(config, predictions, args.out / f"examples-{study['study']}.png")


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/trainings"))
    commands = parser.add_subparsers(dest="command")
    going = commands.add_parser("run", help="train and test")
    going.add_argument("study")
    going.add_argument("--row", help="one row only")
    going.add_argument("--seed", type=int, help="one seed only")
    telling = commands.add_parser("report", help="write tables and pictures")
    telling.add_argument(
        "--out",
        type=Path,
        help="default: report in --work-dir; what it holds is replaced",
    )
    telling.add_argument(
        "--add",
        type=Path,
        nargs="+",
        default=[],
        metavar="TRAINED.json",
        help="reports of other machines, whose trainings stand among those of --work-dir",
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    args.work_dir = args.work_dir.resolve()
    studies = read_studies()
    if args.command == "report":
        args.out = args.out or args.work_dir / "report"
        write_report(args, studies)
    elif args.command == "run":
        for training in chosen(args, studies):
            train_and_test(training, training.folder(args.work_dir))
    else:
        for training in trainings(studies):
            done = (training.folder(args.work_dir) / runs.MEMORY).is_file()
            print(training.study, training.row, training.seed, "trained" if done else "-", sep="\t")


if __name__ == "__main__":
    run(main)
