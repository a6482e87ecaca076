"""The studies of `benchmarks/trainings.json`: which models are trained, how, and on what tested."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmmaskformer.utils.files import read_json

STUDIES = Path(__file__).resolve().parents[1] / "trainings.json"


@dataclass(frozen=True)
class Training:
    """One row of a study with one seed.

    Attributes:
        options: of --cfg-options, for training and tests.
        tests: {name: further arguments of tools/test.py}.
    """

    study: str
    row: str
    seed: int
    config: str
    options: tuple[str, ...]
    tests: dict[str, list[str]]

    @property
    def about(self) -> dict:
        """What tells it from all others in a trained.json."""
        names = {key: getattr(self, key) for key in ("study", "row", "seed", "config")}
        return {**names, "options": list(self.options)}

    def folder(self, work_dir: Path) -> Path:
        """Where it is trained."""
        name = "".join(c if c.isalnum() or c in "-+." else "_" for c in self.row)
        return work_dir / self.study / f"{name}-seed{self.seed}"


def read_studies(path: Path = STUDIES) -> list[dict]:
    """The studies of a json file, complete.

    A study's `claims` become those that `claims.table` takes, and the `tests` of every row
    {name: arguments}: those of its study, then its own. The name is a split, or a split and a kind
    of test: "test, general".
    """
    content = read_json(path)
    kinds = content["kinds of tests"]
    for study in content["studies"]:
        study["claims"] = [
            {**content["claims"][name], "splits": splits}
            for name, splits in study.get("claims", {}).items()
        ]
        for row in study["rows"].values():
            names = [*study.get("tests", ()), *row.get("tests", ())]
            row["tests"] = {n: kinds[kind_of(n)] if kind_of(n) else [] for n in names}
    return content["studies"]


def name_of_test(split: str, *kind: str) -> str:
    """The name of a test of a split: "test", or "test, m.s." for one of a kind."""
    return ", ".join([split, *kind])


def kind_of(test: str) -> str:
    """The kind of the test of this name; empty for a split's own test."""
    return test.partition(", ")[2]


def trainings(studies: Sequence[dict]) -> Iterator[Training]:
    """All trainings of the studies, the first seeds first; a row may have seeds of its own."""
    for study in studies:
        rows = study["rows"].items()
        seeds = {name: row.get("seeds", study["seeds"]) for name, row in rows}
        for seed in sorted(set().union(*seeds.values())):
            for name, row in rows:
                if seed in seeds[name]:
                    options = (*study.get("options", ()), *row.get("options", ()))
                    about = study["study"], name, seed, row["config"], options, row["tests"]
                    yield Training(*about)
