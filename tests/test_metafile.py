"""What mim reads about our models, against the table of the original's and the configs."""

import pytest
import yaml
from mmseg.registry import DATASETS as DATASET_TYPES
from mmseg.utils import register_all_modules

from tests.conftest import ROOT
from tests.test_configs import ROWS, load, our_name

register_all_modules()
DATASETS = {
    "ADE20K": ("ADE20KDataset", 150),
    "ADE20K-Full": ("mmmaskformer.ADE20KFullDataset", 847),
    "ADE20K panoptic": ("mmmaskformer.ADE20KPanopticDataset", 150),
    "COCO": ("mmmaskformer.COCOPanopticDataset", 133),
    "COCO-Stuff 10k": ("mmmaskformer.COCOStuff10KDataset", 171),
    "Cityscapes": ("CityscapesDataset", 19),
    "Mapillary Vistas v1.2": ("mmmaskformer.MapillaryDataset", 65),
}
ORIGINAL_DATASETS = {
    "ADE20K (SceneParse150)": "ADE20K",
    "COCO panoptic 2017": "COCO",
    "COCO-Stuff-10K v1.0": "COCO-Stuff 10k",
    "Mapillary Vistas (65 classes)": "Mapillary Vistas v1.2",
}
TASKS = {"semantic": "Semantic Segmentation", "panoptic": "Panoptic Segmentation"}
METRICS = {"mIoU_ss": "mIoU", "mIoU_ms": "mIoU(ms+flip)", "PQ": "PQ"}
PAPER = {
    "Title": "Per-Pixel Classification is Not All You Need for Semantic Segmentation",
    "URL": "https://arxiv.org/abs/2107.06278",
}


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


(PATH,) = read("model-index.yml")["Import"]
FILE = read(PATH)
MODELS = {model["Name"]: model for model in FILE["Models"]}


def test_every_released_model_is_listed_once():
    assert [model["Name"] for model in FILE["Models"]] == [our_name(row) for row in ROWS]


@pytest.mark.parametrize("row", ROWS, ids=our_name)
def test_values_are_those_of_the_table(row):
    dataset = ORIGINAL_DATASETS.get(row["dataset"], row["dataset"])
    backbone = row["backbone"]
    backbone = backbone.replace("R", "R-") if backbone.startswith("R") else backbone
    assert MODELS[our_name(row)] == {
        "Name": our_name(row),
        "In Collection": row["method"],
        "Config": f"configs/{our_name(row)}.py",
        "Metadata": {
            "Training Data": dataset,
            "Iterations": int(row["max_iter"]),
            "Batch Size": int(row["batch"]),
            "Architecture": [backbone, row["method"]],
            "Training Resources": f"{row['gpus']}x GPUs",
            "Memory (GB)": round(int(row["train_mem_MB"]) / 1024, 1),
        },
        "Results": {
            "Task": TASKS[row["task"]],
            "Dataset": dataset,
            "Metrics": {name: float(row[key]) for key, name in METRICS.items() if row[key]},
        },
        "Source": "paper",
        "Converted From": {"License": "CC BY-NC 4.0", "Weights": row["weights_url"]},
        "Paper": PAPER,
        "Framework": "PyTorch",
    }


@pytest.mark.parametrize("name", MODELS)
def test_config_is_of_this_dataset_and_schedule(name):
    model = MODELS[name]
    assert model["Config"] == f"configs/{name}.py"
    cfg = load(name)
    dataset, classes = DATASETS[model["Results"]["Dataset"]]
    for split in ("train", "val", "test"):
        data = cfg[f"{split}_dataloader"].dataset
        assert data.type == dataset
        built = DATASET_TYPES.build(dict(data, lazy_init=True))
        assert len(built.metainfo["classes"]) == classes
    assert cfg.model.decode_head.num_classes == classes
    panoptic = model["Results"]["Task"].startswith("Panoptic")
    assert panoptic == ("isthing" in cfg.model.decode_head)
    assert cfg.train_cfg.max_iters == model["Metadata"]["Iterations"]
    assert cfg.auto_scale_lr.base_batch_size == model["Metadata"]["Batch Size"]


def test_collections_are_those_of_the_models():
    names = [collection["Name"] for collection in FILE["Collections"]]
    assert sorted(names) == sorted({model["In Collection"] for model in MODELS.values()})
    for collection in FILE["Collections"]:
        trained = {
            model["Metadata"]["Training Data"]
            for model in MODELS.values()
            if model["In Collection"] == collection["Name"]
        }
        assert set(collection["Metadata"]["Training Data"]) == trained
        assert collection["Paper"] == PAPER
        assert (ROOT / collection["README"]).is_file()
        assert (ROOT / collection["Code"]).is_file()


def test_mim_finds_the_files_from_inside_the_package():
    """It looks in `.mim` of the installed package; a wheel holds copies."""
    mim = ROOT / "mmmaskformer/.mim"
    for name in ("model-index.yml", "configs", "tools"):
        assert (mim / name).resolve() == ROOT / name
