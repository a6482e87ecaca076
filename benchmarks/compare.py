"""Measured results beside the published ones, of the paper and of mmseg's model zoo.

    python tools/compare.py                          # the paper's tables
    python tools/compare.py benchmark/benchmark.json work_dirs/maskformer_r50_ade20k/*/*.json
    python tools/compare.py maskformer_r50_ade20k=somewhere/results.json
    python tools/compare.py docs/trained/trained.json

Takes the benchmark.json of tools/benchmark.py, the json that tools/test.py writes into the
work-dir, and the trained.json of benchmarks/trainings.py, which becomes a table for every study.
Cells are `published / measured (difference)`. Memory that was measured on a CPU, or with other
sizes than the paper's, is another quantity than the published one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import mmmaskformer  # noqa: F401  (mends the stack before mmseg is imported)
from benchmarks.kit import published, report, trained, trained_json
from mmmaskformer.utils.command import Parser, run
from mmmaskformer.utils.files import read_json, replacing

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def parse_args() -> argparse.Namespace:
    parser = Parser(description=__doc__.split("\n")[0])
    parser.add_argument("results", nargs="*", metavar="[CONFIG=]RESULTS.json")
    parser.add_argument("--out", type=Path, help="write the tables to this Markdown file, too")
    return parser.parse_args()


def tables_of(arguments: list[str]) -> list[tuple]:
    """(title, header, rows) of everything to show."""
    studies, arguments = split_studies(arguments)
    if studies and not arguments:
        return studies
    paper = published.read_paper(CONFIGS / "paper_results.json")
    zoo = published.read_zoo()
    known = [*(path.stem for path in CONFIGS.glob("*.py")), *zoo]
    results = [m for text in arguments for m in published.read_measured(text, known)]
    tables = published.paper_tables(paper, results)
    beside_zoo = published.zoo_table(zoo, results, CONFIGS)
    if results and not tables and not beside_zoo:
        names = ", ".join(sorted({result.config for result in results}))
        raise ValueError(f"nothing is published of what was measured of {names}")
    return studies + tables + ([beside_zoo] if beside_zoo else [])


def split_studies(arguments: list[str]) -> tuple[list[tuple], list[str]]:
    """Tables of the studies in every trained.json, and the arguments that are none."""
    tables, others = [], []
    for argument in arguments:
        content = read_json(argument) if Path(argument).is_file() else None
        if trained_json.holds_trainings(content):
            trained_json.check_report(content, argument)
            tables += trained.tables(content)
        else:
            others.append(argument)
    return tables, others


def main() -> None:
    args = parse_args()
    tables = tables_of(args.results)
    if args.out:
        text = "\n".join(report.markdown(*table) for table in tables)
        with replacing(args.out) as work:
            work.write_text(text, encoding="utf-8")
    console = report.wide_console()
    for table in tables:
        console.print(report.rich_table(*table))


if __name__ == "__main__":
    run(main)
