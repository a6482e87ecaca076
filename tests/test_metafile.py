"""What mim reads about our models: as its tool writes it, and true of the configs."""

import pytest
import yaml
from mmseg.registry import DATASETS as DATASET_TYPES
from mmseg.utils import register_all_modules

from benchmarks.metafile import METAFILE, metafile
from tests.conftest import ROOT
from tests.test_configs import load

register_all_modules()
DATASETS = {
    "ADE20K": "ADE20KDataset",
    "ADE20K-Full": "mmmaskformer.ADE20KFullDataset",
    "ADE20K panoptic": "mmmaskformer.ADE20KPanopticDataset",
    "COCO": "mmmaskformer.COCOPanopticDataset",
    "COCO-Stuff 10k": "mmmaskformer.COCOStuff10KDataset",
    "Cityscapes": "CityscapesDataset",
    "Mapillary Vistas v1.2": "mmmaskformer.MapillaryDataset",
}
FILE = yaml.safe_load(metafile())
MODELS = {model["Name"]: model for model in FILE["Models"]}


def test_the_file_is_what_the_tool_writes():
    assert METAFILE.read_text(encoding="utf-8") == metafile(), "run: python -m benchmarks.metafile"
    (path,) = yaml.safe_load((ROOT / "model-index.yml").read_text())["Import"]
    assert ROOT / path == METAFILE


def test_an_entry_by_hand():
    assert len(MODELS) == len(FILE["Models"]) == 30
    paper = {
        "Title": "Per-Pixel Classification is Not All You Need for Semantic Segmentation",
        "URL": "https://arxiv.org/abs/2107.06278",
    }
    assert MODELS["maskformer_r101c_ade20k"] == {
        "Name": "maskformer_r101c_ade20k",
        "In Collection": "MaskFormer",
        "Config": "configs/maskformer_r101c_ade20k.py",
        "Metadata": {
            "Training Data": "ADE20K",
            "Iterations": 160000,
            "Batch Size": 16,
            "Architecture": ["R-101c", "MaskFormer"],
            "Training Resources": "8x GPUs",
            "Parameters": 60318039,
            "Memory (GB)": 4.9,
        },
        "Results": {
            "Task": "Semantic Segmentation",
            "Dataset": "ADE20K",
            "Metrics": {"mIoU": 46.0, "mIoU(ms+flip)": 48.1},
        },
        "Source": "paper",
        "Converted From": {
            "License": "CC BY-NC 4.0",
            "Weights": "https://dl.fbaipublicfiles.com/maskformer/semantic-ade20k/"
            "maskformer_R101c_bs16_160k/model_final_b432ea.pkl",
        },
        "Paper": paper,
        "Framework": "PyTorch",
    }
    assert MODELS["maskformer_r50_coco-panoptic"]["Results"] == {
        "Task": "Panoptic Segmentation",
        "Dataset": "COCO",
        "Metrics": {"PQ": 46.5},
    }


@pytest.mark.usefixtures("mmseg_scope")
@pytest.mark.parametrize("name", MODELS)
def test_config_is_of_this_dataset_and_schedule(name):
    model = MODELS[name]
    cfg = load(name)
    for split in ("train", "val", "test"):
        data = cfg[f"{split}_dataloader"].dataset
        assert data.type == DATASETS[model["Results"]["Dataset"]]
        built = DATASET_TYPES.build(dict(data, lazy_init=True))
        assert len(built.metainfo["classes"]) == cfg.model.decode_head.num_classes
    panoptic = model["Results"]["Task"].startswith("Panoptic")
    assert panoptic == ("isthing" in cfg.model.decode_head)
    assert cfg.train_cfg.max_iters == model["Metadata"]["Iterations"]
    assert cfg.auto_scale_lr.base_batch_size == model["Metadata"]["Batch Size"]


def test_collections_name_files_that_are_there():
    assert {c["Name"] for c in FILE["Collections"]} == {m["In Collection"] for m in MODELS.values()}
    for collection in FILE["Collections"]:
        assert (ROOT / collection["README"]).is_file()
        assert (ROOT / collection["Code"]).is_file()
        assert "ADE20K-Full" in collection["Metadata"]["Training Data"]


def test_mim_finds_the_files_from_inside_the_package():
    """It looks in `.mim` of the installed package; a wheel holds copies."""
    mim = ROOT / "mmmaskformer/.mim"
    for name in ("model-index.yml", "configs", "tools"):
        assert (mim / name).resolve() == ROOT / name
