"""One table, ours against stock mmseg, mmdet and transformers, of what benchmarks/all.sh measured.

    python -m benchmarks.summary benchmark

Every line is of one run, in which the implementations took turns; less is better, and in
parentheses is our value as a share of the other's.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.kit import report, summary
from mmmaskformer.utils import command


def main() -> None:
    parser = command.Parser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="what benchmarks/all.sh was given")
    args = parser.parse_args()
    console = report.wide_console()
    rows, titles = summary.read(args.folder)
    table = "Ours against the others", *summary.cells(rows)
    notes = [f"{name}: {titles.get(name, 'not measured')}" for name in summary.PARTS]
    console.print(report.rich_table(*table))
    console.print("\n".join(notes), highlight=False, soft_wrap=True)
    text = "\n".join([report.markdown(*table), *(f"* {note}" for note in notes), ""])
    for path in report.write_files(args.folder, "summary", {"md": report.text_writer(text)}):
        console.print(str(path), highlight=False, soft_wrap=True)


if __name__ == "__main__":
    command.run(main)
