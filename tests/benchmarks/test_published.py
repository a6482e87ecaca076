"""The paper's tables against its text, and measured results beside published ones."""

import json
import math
import re
import runpy
import sys

import pytest

from benchmarks.kit import published
from tests.commands import mistake
from tests.conftest import ROOT
from tests.reference import FOLDER

CONFIGS = ROOT / "configs"
PAPER = published.read_paper(CONFIGS / "paper_results.json")
TEXT = FOLDER / "paper_tables.tsv"
ALL = [entry for table in PAPER for entry in table["rows"]]


def tables_of_the_text():
    """{number: rows of cells} of the tab-separated tables behind `Table X:`."""
    found, number = {}, None
    for line in TEXT.read_text(encoding="utf-8").splitlines():
        caption = re.match(r"Table ([IVX]+):", line)
        if caption:
            number = caption.group(1)
        elif "\t" in line:
            found.setdefault(number, []).append(line.split("\t"))
    return found


def value_of(text):
    """12.4, 6529, [32.4, 0.2] or None of a cell like `<b>38.1 <math>\\pm</math> 0.3</b>`."""
    text = re.sub(r"<[^>]*>|\$", "", text).replace(r"\pm", "±").strip()
    if text == "-":
        return None
    mean, *std = (float(part.rstrip("M")) for part in text.split("±"))
    return [mean, *std] if std else mean


# Where the groups of columns of a table end; heads are the lines before the first row.
GROUPS = {"II": (2, 4), "III": (1, 4), "VII": (4, 8, 12), "VIII": (4, 9)}
LABELS = {"VII": 1, "VIII": 1}
HEADS = {"II": 2, "III": 2, "VII": 2, "VIII": 2}


def test_every_cell_of_the_papers_tables():
    text = tables_of_the_text()
    assert list(text) == ["I", "II", "III", "IV", "V", "VI", "VII", "VIII"]
    assert {re.sub("[ab]$", "", table["table"]) for table in PAPER} == set(text)
    compared = 0
    for number, lines in text.items():
        labels = LABELS.get(number, 2)
        body = [line[labels:] for line in lines[HEADS.get(number, 1) :]]
        ours = [table for table in PAPER if re.sub("[ab]$", "", table["table"]) == number]
        ends = GROUPS.get(number, (len(body[0]),))
        assert len(ours) == len(ends)
        for table, begin, end in zip(ours, (0, *ends[:-1]), ends, strict=True):
            assert len(table["columns"]) == end - begin
            expected = [[value_of(cell) for cell in line[begin:end]] for line in body]
            assert [row["values"] for row in table["rows"]] == expected, table["table"]
            compared += sum(map(len, expected))
    assert compared == 9 + 24 + 16 + 6 + 10 + 20 + 36 + 36


def test_methods_and_backbones_are_the_papers():
    text = tables_of_the_text()
    for table in PAPER:
        number = re.sub("[ab]$", "", table["table"])
        if number in LABELS:
            continue
        method = None
        for entry, line in zip(table["rows"], text[number][HEADS.get(number, 1) :], strict=True):
            names = [re.sub(r"<[^>]*>| \(ours\)| \[[\d, ]+\]", "", cell) for cell in line[:2]]
            method = names[0] or method
            assert [entry["method"], entry["backbone"]] == [method, names[1]]


def test_configs_exist_and_have_the_backbone():
    for entry in ALL:
        if entry["config"]:
            assert (CONFIGS / f"{entry['config']}.py").is_file()
            backbone = entry["backbone"].split(" + ")[0].lower()
            if not entry["config"].startswith(("maskformer", "perpixel")):
                backbone = backbone.rstrip("c")  # mmseg calls its R101c, with the deep stem, r101
            assert entry["config"].split("_")[1] == backbone.removeprefix(
                "max-"
            )  # MaX-DeepLab's own


def test_ablations_have_files_of_their_own():
    suffixes = {"1 layer": "1dec", "6 layers (no self-attention)": "noselfattn"}
    suffixes["MaskFormer, general inference"] = "general"
    found = [entry for entry in ALL if entry["method"] in suffixes]
    assert len(found) == 7
    for entry in found:
        assert entry["config"].endswith("-" + suffixes[entry["method"]])


@pytest.fixture
def compare(monkeypatch, capsys):
    """tools/compare.py in this process: what it prints, or its one line of error."""

    def run(*arguments, ok=True):
        monkeypatch.setattr(sys, "argv", ["compare.py", *map(str, arguments)])
        if ok:
            runpy.run_path(str(ROOT / "tools/compare.py"), run_name="__main__")
            return capsys.readouterr().out
        tool = str(ROOT / "tools/compare.py")
        return mistake(capsys, runpy.run_path, tool, run_name="__main__")

    return run


def rows_of(markdown):
    """{title: {(method, backbone): other cells}}."""
    tables, title = {}, None
    for line in markdown.splitlines():
        if line.startswith("| "):
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            tables[title][cells[0], cells[1]] = cells[2:]
        elif line and not line.startswith("|"):
            title = line
            tables[title] = {}
    return tables


def test_without_results_all_tables_are_shown(compare, tmp_path):
    printed = compare("--out", tmp_path / "tables.md")
    tables = rows_of((tmp_path / "tables.md").read_text(encoding="utf-8"))
    assert len(tables) == len(PAPER)
    for table, (title, rows) in zip(PAPER, tables.items(), strict=True):
        assert title.startswith(f"Table {table['table']}: {table['dataset']}")
        assert len(rows) == len(table["rows"]) + 1
    (cityscapes,) = (rows for title, rows in tables.items() if "IIIa" in title)
    assert cityscapes["MaskFormer", "R101c"] == ["81.4 ±0.2", "maskformer_r101c_cityscapes"]
    assert cityscapes["OCRNet", "R101c"] == ["82.0", "ocrnet_r101_cityscapes"]
    assert "81.4 ±0.2" in printed


def benchmark_json(folder, results):
    path = folder / "benchmark.json"
    path.write_text(json.dumps({"results": results}))
    return path


def test_differences_by_hand(compare, tmp_path):
    path = benchmark_json(
        tmp_path,
        {
            "maskformer_r50_ade20k": {"mIoU": 44.0, "PQ_st": 34.0, "parameters_m": 41.3},
            "perpixelplus_r50_ade20k-full": {"train_memory_mb": 26000.4},
        },
    )
    compare(path, "--out", tmp_path / "out.md")
    tables = rows_of((tmp_path / "out.md").read_text(encoding="utf-8"))
    assert [re.match(r"Table (\w+)", title).group(1) for title in tables] == ["IIb", "VII", "VIII"]
    memory, seven, eight = tables.values()
    assert memory["PerPixelBaseline+", "R50"][:2] == ["13.9 ±0.1", "26698 / 26000 (-698)"]
    assert memory["MaskFormer", "R50"][:2] == ["16.0 ±0.3", "6529"]
    for rows, name in ((seven, "MaskFormer, semantic inference"), (eight, "6 layers")):
        expected = ["44.5 / 44.00 (-0.50)", "33.4 / 34.00 (+0.60)", "75.4", "42.4"]
        assert rows[name, "R50"][:4] == expected
        assert sum("/" in cell for cells in rows.values() for cell in cells) == 2


def test_an_ablation_is_not_the_default(compare, tmp_path):
    path = benchmark_json(tmp_path, {"maskformer_r50_ade20k-1dec": {"mIoU": 42.0}})
    compare(path, "--out", tmp_path / "out.md")
    ((title, rows),) = rows_of((tmp_path / "out.md").read_text(encoding="utf-8")).items()
    assert title.startswith("Table VIII")
    assert rows["1 layer", "R50"][0] == "43.0 / 42.00 (-1.00)"
    assert rows["6 layers", "R50"][0] == "44.5"


def work_dir(folder, config, metrics, multi_scale=False):
    """What mmengine leaves of a test."""
    run = folder / "20260101_000000"
    (run / "vis_data").mkdir(parents=True)
    (folder / f"{config}.py").write_text("")
    model = dict(type="mmmaskformer.MaskFormer")
    if multi_scale:
        model = dict(type="mmmaskformer.MaskFormerTTA", module=model)
    (run / "vis_data/config.py").write_text(f"model = {model!r}\n")
    (run / "20260101_000000.json").write_text(json.dumps(metrics))
    return run / "20260101_000000.json"


def test_jsons_of_tests_tell_single_from_multi_scale(compare, tmp_path):
    name = "maskformer_r101c_cityscapes"
    metrics = {"mIoU": 81.0, "PQ_st": 67.0, "data_time": 0.1}
    single = work_dir(tmp_path / "one", name, metrics)
    assert "nothing is published" in compare(single, ok=False)
    multi = work_dir(tmp_path / "two", name, metrics, multi_scale=True)
    compare(multi, single, "--out", tmp_path / "out.md")
    tables = rows_of((tmp_path / "out.md").read_text(encoding="utf-8"))
    cells = [rows["MaskFormer", "R101c"] for rows in tables.values()]
    assert cells[0][0] == "81.4 ±0.2 / 81.00 (-0.40)"
    assert cells[1][:3] == ["66.9 / 67.00 (+0.10)", "82.0", "80.5"]
    other = work_dir(tmp_path / "three", "other", metrics, multi_scale=True)
    assert "there is no config other" in compare(other, ok=False)
    assert "81.00 (-0.40)" in compare(f"{name}={other}")


ZOO = "upernet_r50_4xb4-80k_ade20k-512x512"


def test_mmsegs_published_numbers(compare, tmp_path):
    zoo = published.read_zoo()
    assert len(zoo) > 500
    assert zoo[ZOO] == {"mIoU": 40.7, "mIoU(ms+flip)": 41.81, "Memory (GB)": 8.1}
    path = benchmark_json(tmp_path, {ZOO: {"mIoU": 40.0, "train_memory_mb": 8000.0}})
    compare(path, "--out", tmp_path / "out.md")
    ((title, rows),) = rows_of((tmp_path / "out.md").read_text(encoding="utf-8")).items()
    assert title == "mmseg's model zoo"
    assert rows[ZOO, ZOO] == ["40.7 / 40.00 (-0.70)", "41.81", "8.1 / 8.00 (-0.10)"]


def test_our_leaf_of_a_zoo_model_is_found_by_its_base(tmp_path):
    (tmp_path / "upernet_r50_ade20k.py").write_text(f'_base_ = ["mmseg::upernet/{ZOO}.py"]\n')
    (tmp_path / "upernet_r50_mine.py").write_text('_base_ = "./upernet_r50_ade20k.py"\n')
    assert published.zoo_name("upernet_r50_mine", tmp_path) == ZOO
    # A model of the zoo in a recipe of ours is none of its published ones.
    assert published.zoo_name("upernet_r50_camvid", CONFIGS) == "upernet_r50_camvid"
    assert published.zoo_name("ocrnet_r101_mapillary", CONFIGS) == "ocrnet_r101_mapillary"
    assert published.zoo_name(ZOO, CONFIGS) == ZOO


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "does not exist"),
        ("{", "is no valid json"),
        ("[1]", "must hold an object with metrics, got a list"),
        ('{"results": [1]}', "results must hold one object of metrics per config"),
        ('{"results": {"a": 1}}', "results must hold one object of metrics per config"),
        (
            '{"results": {"maskformer_r50_ade20": {"mIoU": 1}}}',
            "no config maskformer_r50_ade20; did you mean maskformer_r50_ade20k",
        ),
        ('{"mIoU": 1}', "the work-dir must hold the one config it was made with, got none; say"),
        ('{"results": {"maskformer_r50_ade20k": {"mIoU": NaN}}}', "mIoU of .* finite .* got nan"),
        ('{"results": {"maskformer_r50_ade20k": {"PQ_st": "1"}}}', "PQ_st of .* finite .* got '1'"),
    ],
)
def test_mistakes_name_the_file(compare, tmp_path, text, message):
    path = tmp_path / "run/results.json"
    path.parent.mkdir()
    if text is not None:
        path.write_text(text)
    error = compare(path, ok=False)
    assert str(path) in error
    assert re.search(message, error)


def test_a_test_that_diverged(compare, tmp_path):
    path = work_dir(tmp_path, "maskformer_r50_ade20k", {"mIoU": 1.0, "PQ_st": math.inf})
    error = compare(path, ok=False)
    expected = f"{path}: PQ_st of maskformer_r50_ade20k must be a finite number, got inf"
    assert error == f"error: {expected}"


def test_few_of_many_files_are_listed(compare, tmp_path):
    path = work_dir(tmp_path, "c0", {"mIoU": 1.0})
    for i in range(1, 9):
        (tmp_path / f"c{i}.py").touch()
    assert "made with, got c0.py, c1.py, c2.py and 6 more; say CONFIG=" in compare(path, ok=False)


def test_a_json_without_metrics(compare, tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"classes": "none"}')
    assert "holds no metrics" in compare(f"maskformer_r50_ade20k={path}", ok=False)
