"""The table of models against the configs themselves."""

import json
import re
import subprocess
import sys

import pytest
import yaml

from mmmaskformer.cli.main import main
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.zoo import Model, catalogue, config_file, models, names
from tests.commands import mistake
from tests.conftest import ROOT, load_config

TABLES = {
    "ADE20K": "ade20k",
    "ADE20K-Full": "ade20k_full",
    "CamVid": "camvid",
    "Cityscapes": "cityscapes",
    "COCO": "coco_panoptic",
    "COCO-Stuff 10k": "coco_stuff_10k",
    "Mapillary Vistas v1.2": "mapillary",
    "Shapes": "shapes",
}
MODELS = {model.name: model for model in models()}


def test_every_config_has_one_row():
    assert list(MODELS) == sorted(path.stem for path in ROOT.glob("configs/*.py")) == names()
    assert all(model.config.samefile(ROOT / f"configs/{name}.py") for name, model in MODELS.items())


@pytest.mark.parametrize("name", MODELS)
def test_task_and_dataset_are_those_of_the_config(name):
    model, cfg = MODELS[name], load_config(name)
    heads = cfg.model.get("decode_head", cfg.model.get("panoptic_head"))
    head = heads[-1] if isinstance(heads, list) else heads
    evaluators = cfg.test_evaluator
    evaluators = evaluators if isinstance(evaluators, list) else [evaluators]
    panoptic = any("Panoptic" in str(evaluator["type"]) for evaluator in evaluators)
    assert (model.task == "panoptic") == panoptic
    data = cfg.test_dataloader.dataset
    if model.dataset.startswith("your own"):
        assert "Folder" in data.type or "Panoptic" in data.type
        return
    if model.dataset == "NYU Depth v2":
        assert "nyuv2" in data.data_root
        return
    plain = model.dataset.removesuffix(" panoptic")
    assert TABLES[plain].split("_")[0] in data.type.lower()
    if head is None:  # things and stuff have a head each
        head = cfg.model.panoptic_fusion_head
        head.num_classes = head.num_things_classes + head.num_stuff_classes
    assert head.num_classes == len(metainfo(TABLES[plain])["classes"])


def test_released_models_are_those_of_the_metafile():
    entries = yaml.safe_load((ROOT / "configs/metafile.yaml").read_text("utf-8"))["Models"]
    assert {m.name for m in models() if m.released} == {entry["Name"] for entry in entries}
    weights = "semantic-ade20k/maskformer_R50_bs16_160k/model_final_d8dbeb.pkl"
    assert MODELS["maskformer_r50_ade20k"] == Model(
        name="maskformer_r50_ade20k",
        config=catalogue.FOLDER / "maskformer_r50_ade20k.py",
        task="semantic",
        dataset="ADE20K",
        results={"mIoU": 44.5, "mIoU(ms+flip)": 46.7},
        parameters=41254743,
        memory=4.2,
        licence="CC BY-NC 4.0",
        weights=f"https://dl.fbaipublicfiles.com/maskformer/{weights}",
    )


def test_models_of_the_paper_that_were_not_released_have_its_result_alone():
    model = MODELS["maskformer_r50_ade20k-panoptic-1dec"]
    assert (model.task, model.dataset, model.results) == (
        "panoptic",
        "ADE20K panoptic",
        {"PQ": 31.9},
    )
    assert (model.parameters, model.licence, model.weights) == (None, None, None)
    assert MODELS["deeplabv3plus_r50_mapillary"].results == {"mIoU": 47.7, "mIoU(m.s.)": 49.4}
    assert MODELS["upernet_r18_shapes"].results == {}


def test_names_and_paths(tmp_path, monkeypatch):
    file = catalogue.FOLDER / "maskformer_r50_ade20k.py"
    for name in ("maskformer_r50_ade20k", "mmmaskformer::maskformer_r50_ade20k.py"):
        assert config_file(name) == file
    assert config_file("mmmaskformer::maskformer_r50_ade20k") == file
    base = catalogue.FOLDER / "_base_/datasets/ade20k.py"
    assert config_file("mmmaskformer::_base_/datasets/ade20k.py") == base
    monkeypatch.chdir(tmp_path)
    for wrong in ("maskformer_r50_ade20", "maskformer_r50_ade20k.py", "../maskformer_r50_ade20k"):
        with pytest.raises(FileNotFoundError, match=r"instance .*maskformer_r50_ade20k\b"):
            config_file(wrong)
    (tmp_path / "maskformer_r50_ade20k.py").write_text("")
    assert config_file("maskformer_r50_ade20k.py").resolve() == tmp_path / file.name
    assert config_file("maskformer_r50_ade20k") == file


def test_the_table_loads_neither_torch_nor_openmmlab():
    code = "import sys; from mmmaskformer import zoo; zoo.models(); print('torch' in sys.modules)"
    code += "; print(any(name.startswith('mmengine') for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["mmmaskformer", "models", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_the_command_prints_a_table(monkeypatch, capsys):
    lines = run(monkeypatch, capsys).splitlines()
    for name in names():
        assert sum(line.split()[:1] == [name] for line in lines) == 1, name
    (line,) = (line for line in lines if line.split()[:1] == ["maskformer_swin-l_ade20k"])
    expected = "semantic ADE20K mIoU 54.1, mIoU(ms+flip) 55.6 211.6 17.7 CC BY-NC 4.0"
    assert line.split()[1:] == expected.split()
    assert lines[-2].startswith(f"{len(names())} models, 30 with weights that")


def test_a_narrow_terminal_has_fewer_columns_and_whole_names(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    text = re.sub(r"\x1b\[[\d;]*m", "", run(monkeypatch, capsys))
    assert max(map(len, text.splitlines())) <= 80
    assert all(name in text.split() for name in names())
    assert "semantic" not in text
    assert text.endswith("a wider terminal shows task, parameters and memory\n")


def test_the_command_chooses(monkeypatch, capsys):
    found = json.loads(run(monkeypatch, capsys, "--task", "panoptic", "--json"))
    assert [entry["name"] for entry in found] == [
        name for name, model in MODELS.items() if model.task == "panoptic"
    ]
    for dataset in ("coco-stuff-10k", "COCO-Stuff 10K"):
        found = json.loads(run(monkeypatch, capsys, "--released", "--dataset", dataset, "--json"))
        assert len(found) == 7 - 2
        assert {entry["dataset"] for entry in found} == {"COCO-Stuff 10k"}
    assert found[0]["results"] == {"mIoU": 38.1, "mIoU(ms+flip)": 39.8}
    nothing = ("--task", "panoptic", "--dataset", "ADE20K")
    assert json.loads(run(monkeypatch, capsys, *nothing, "--json")) == []
    assert run(monkeypatch, capsys, *nothing) == ""
    monkeypatch.setattr(sys, "argv", ["mmmaskformer", "models", "--dataset", "cocoa"])
    assert "--dataset 'cocoa': no model is of it; wanted one of ADE20K, " in mistake(capsys, main)
