"""Zoo baselines: mmseg's recipes, unchanged but for what is listed here, under our metrics."""

import copy
import re
from pathlib import Path

import cv2
import mmseg
import numpy as np
import pytest
import torch
import yaml
from mmengine.model import revert_sync_batchnorm
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

from mmmaskformer.checkpoints.conversion import WithoutMemory
from tests.commands import python
from tests.conftest import ROOT, read_config
from tests.conftest import load_config as load

register_all_modules()
pytestmark = [pytest.mark.usefixtures("mmseg_scope"), pytest.mark.slow]
MMSEG = Path(mmseg.__file__).parent / ".mim/configs"
OCRNET_R101 = "ocrnet/ocrnet_r101-d8_8xb2-80k_cityscapes-512x1024"
DEEPLAB_R50 = "deeplabv3plus/deeplabv3plus_r50-d8_4xb4-160k_ade20k-512x512"
SWIN = "swin/swin-{}_upernet_8xb2-160k_ade20k-512x512"
FULL = {
    "upernet_r50_ade20k": "upernet/upernet_r50_4xb4-160k_ade20k-512x512",
    "upernet_swin-t_ade20k": SWIN.format("tiny-patch4-window7-in1k-pre"),
    "upernet_swin-l_ade20k": SWIN.format("large-patch4-window12-in22k-384x384-pre"),
    "ocrnet_hr48_ade20k": "ocrnet/ocrnet_hr48_4xb4-160k_ade20k-512x512",
    "deeplabv3plus_r50_ade20k": DEEPLAB_R50,
    "setr_vit-l_ade20k": "setr/setr_vit-l_mla_8xb2-160k_ade20k-512x512",
    "segformer_mit-b0_ade20k": "segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512",
    "segformer_mit-b5_ade20k": "segformer/segformer_mit-b5_8xb2-160k_ade20k-640x640",
    "mask2former_r50_ade20k": "mask2former/mask2former_r50_8xb2-160k_ade20k-512x512",
    "mmseg-maskformer_r50_ade20k": "maskformer/maskformer_r50-d32_8xb2-160k_ade20k-512x512",
    "ocrnet_r101_cityscapes": OCRNET_R101,
    "deeplabv3plus_r50_cityscapes": (
        "deeplabv3plus/deeplabv3plus_r50-d8_4xb2-80k_cityscapes-512x1024"
    ),
    "deeplabv3plus_r50_mapillary": (
        "deeplabv3plus/deeplabv3plus_r50-d8_4xb2-300k_mapillay_v1_65-1280x1280"
    ),
}
"""mmseg's config of the same model and dataset."""
COMPOSED = {
    "ocrnet_r101_ade20k": (OCRNET_R101, "160k"),
    "ocrnet_r101_coco-stuff-10k": (OCRNET_R101, "40k"),
    "ocrnet_r101_mapillary": (OCRNET_R101, "320k"),
    "deeplabv3plus_r50_coco-stuff-10k": (DEEPLAB_R50, "40k"),
}
"""mmseg's config of the model on another dataset; mmseg's schedule."""
SOURCES = FULL | {name: source for name, (source, _) in COMPOSED.items()}
OURS = {
    "ade20k": "maskformer_r50_ade20k",
    "cityscapes": "maskformer_r101_cityscapes",
    "coco-stuff-10k": "maskformer_r50_coco-stuff-10k",
    "mapillary": "maskformer_r50_mapillary",
}
RESNET50 = "https://download.pytorch.org/models/resnet50-0676ba61.pth"
OTHER = {
    "mask2former_r50_ade20k": {"model.backbone.init_cfg.checkpoint": RESNET50},
    "mmseg-maskformer_r50_ade20k": {"model.backbone.init_cfg.checkpoint": RESNET50},
    "deeplabv3plus_r50_mapillary": {
        f"{split}_dataloader.dataset.data_prefix.seg_map_path": f"{folder}/labels"
        for split, folder in dict(train="training", val="validation", test="validation").items()
    },
}
"""All that differs from mmseg's full configs."""


def load_theirs(name):
    return copy.deepcopy(read_config(MMSEG / f"{name}.py"))


def ours_of(name):
    """Our own config of the same dataset."""
    return load(OURS[name.split("_")[-1]])


def heads(model):
    found = [model.decode_head, model.get("auxiliary_head") or []]
    return [head for one in found for head in (one if isinstance(one, list) else [one])]


def leaves(value, path=""):
    """Every plain value of a nested config, by its dotted path; without what mmengine adds."""
    if isinstance(value, (dict, list, tuple)):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        parts = [leaves(item, f"{path}.{key}") for key, item in pairs if key != "_scope_"]
        return {key: item for part in parts for key, item in part.items()}
    return {path[1:]: value}


def changes(ours, theirs):
    """Values of ours that are not theirs; None for what is missing."""
    ours, theirs = leaves(ours), leaves(theirs)
    paths = sorted(ours.keys() | theirs.keys())
    return {p: ours.get(p) for p in paths if ours.get(p) != theirs.get(p)}


def without_metrics(cfg):
    keys = cfg.keys() - {"val_evaluator", "test_evaluator", "custom_imports"}
    return {key: cfg[key] for key in keys}


@pytest.mark.parametrize("name", FULL)
def test_whole_recipe_is_mmsegs(name):
    ours, theirs = without_metrics(load(name)), without_metrics(load_theirs(FULL[name]))
    assert ours.keys() - theirs.keys() == {"iou_evaluator", "ade20k_evaluator", "resnet50"}
    ours = {key: ours[key] for key in theirs}
    assert changes(ours, theirs) == OTHER.get(name, {})


def expected_changes(name, cfg):
    """What a model needs on another dataset."""
    dataset = name.split("_")[-1]
    classes = {"ade20k": 150, "coco-stuff-10k": 171, "mapillary": 65}[dataset]
    wanted = {f"data_preprocessor.size.{i}": cfg.crop_size[i] for i in range(2)}
    paths = ("decode_head.0", "decode_head.1")
    if name.startswith("deeplab"):
        paths = ("decode_head", "auxiliary_head")
    for path in paths:
        wanted[f"{path}.num_classes"] = classes
        if dataset == "mapillary":
            wanted[f"{path}.ignore_index"] = 65
    if dataset == "mapillary":
        wanted["data_preprocessor.seg_pad_val"] = 65
    return wanted


@pytest.mark.parametrize("name", COMPOSED)
def test_model_and_schedule_are_mmsegs(name):
    cfg, (source, schedule) = load(name), COMPOSED[name]
    theirs = load_theirs(source).model
    wanted = expected_changes(name, cfg)
    unchanged = {path for path in wanted if leaves(theirs).get(path) == wanted[path]}
    assert changes(cfg.model, theirs) == {p: wanted[p] for p in wanted.keys() - unchanged}
    for key, value in load_theirs(f"_base_/schedules/schedule_{schedule}").items():
        assert not changes(cfg[key], value), key
    # The crops of the pipeline are what the preprocessor pads to.
    crops = [s.crop_size for s in cfg.train_dataloader.dataset.pipeline if "crop_size" in s]
    assert crops == [cfg.model.data_preprocessor.size]


@pytest.mark.parametrize("name", SOURCES)
def test_same_images_and_metrics_as_ours(name):
    zoo, ours = load(name), ours_of(name)
    for split in ("val", "test"):
        evaluators, wanted = (cfg[f"{split}_evaluator"] for cfg in (zoo, ours))
        if name == "deeplabv3plus_r50_mapillary":  # see the next test
            wanted = [{**evaluator, "ignore_index": 255} for evaluator in wanted]
        assert [{"ignore_index": 255, **evaluator} for evaluator in evaluators] == wanted
        found, wanted = (cfg[f"{split}_dataloader"].dataset for cfg in (zoo, ours))
        assert Path(found.data_root) == Path(wanted.data_root)
        assert found.data_prefix == wanted.data_prefix
    assert "mmmaskformer" in zoo.custom_imports.imports
    assert zoo.tta_model.type in ("SegTTAModel", "mmmaskformer.MaskFormerTTA")


@pytest.mark.parametrize("name", SOURCES)
def test_heads_have_the_classes_of_the_dataset(name):
    cfg = load(name)
    for split in ("train", "val", "test"):
        dataset = DATASETS.build(dict(cfg[f"{split}_dataloader"].dataset, lazy_init=True))
        classes = dataset.metainfo["classes"]
        assert {head.num_classes for head in heads(cfg.model)} == {len(classes)}
        wanted = ours_of(name)[f"{split}_dataloader"].dataset
        wanted = DATASETS.build(dict(wanted, lazy_init=True)).metainfo["classes"]
        assert [simple(c) for c in classes] == [simple(c) for c in wanted]
    if name == "deeplabv3plus_r50_mapillary":
        # Class 65, "Unlabeled", is ignored by mmseg's heads and by the metrics' defaults.
        assert dataset.label_map == {**{i: i for i in range(65)}, 65: 255}


def simple(name):
    return re.sub(r"[^a-z]", "", name.lower())


SHALLOW = {
    "upernet_swin-l_ade20k": dict(depths=[2, 2, 2, 2]),
    "setr_vit-l_ade20k": dict(num_layers=4, out_indices=(0, 1, 2, 3)),
}
"""Depth of the two largest in the next test; at their own they need 3.4 GB."""


def without_weights(cfg):
    """Nothing is downloaded."""
    for key, value in cfg.items() if isinstance(cfg, dict) else enumerate(cfg):
        if key in ("init_cfg", "pretrained"):
            cfg[key] = None
        elif isinstance(value, (dict, list)):
            without_weights(value)
    return cfg


@pytest.mark.parametrize("name", SHALLOW)
def test_largest_models_build(name):
    with WithoutMemory():
        model = MODELS.build(without_weights(load(name).model))
    blocks = {"upernet": lambda b: [len(s.blocks) for s in b.stages], "setr": lambda b: b.layers}
    found = blocks[name.split("_")[0]](model.backbone)
    assert found == [2, 2, 18, 2] if name.startswith("upernet") else len(found) == 24


def tiny_batch(num_classes, ignored, size=64):
    """Two images whose labels are blocks of random classes; the top rows are ignored."""
    meta = {key: (size, size) for key in ("img_shape", "ori_shape", "pad_shape")}
    samples = []
    for _ in range(2):
        labels = torch.randint(0, num_classes, (1, 8, 8))
        labels = labels.repeat_interleave(size // 8, 1).repeat_interleave(size // 8, 2)
        labels[:, : size // 4] = ignored
        labels[0, -1, -1] = num_classes - 1
        samples.append(SegDataSample(metainfo=dict(meta, scale_factor=(1.0, 1.0), flip=False)))
        samples[-1].gt_sem_seg = PixelData(data=labels)
    inputs = list(torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8))
    return dict(inputs=inputs, data_samples=samples)


def one_of_each(names):
    """The first row of a model is quick; the others, the same model at another size or of other
    classes, and the two largest are slow."""
    seen = set(SHALLOW)
    for name in names:
        model = name.split("_")[0]
        quick = name not in seen and model not in seen
        seen.add(model)
        yield name if quick else pytest.param(name, marks=pytest.mark.slow)


@pytest.mark.parametrize("name", one_of_each(SOURCES))
def test_trains_and_predicts_a_tiny_batch(name):
    cfg = without_weights(load(name).model)
    cfg.backbone.update(SHALLOW.get(name, {}))
    cfg.data_preprocessor.size = (64, 64)
    (num_classes,) = {head.num_classes for head in heads(cfg)}
    (ignored,) = {head.get("ignore_index", 255) for head in heads(cfg)}
    model = revert_sync_batchnorm(MODELS.build(cfg))
    data = tiny_batch(num_classes, ignored)
    losses = model.train()(**model.data_preprocessor(data, training=True), mode="loss")
    loss, _ = model.parse_losses(losses)
    loss.backward()
    assert loss.isfinite()
    for parameter, value in model.named_parameters():
        assert not value.requires_grad or value.grad.isfinite().all(), parameter
    with torch.no_grad():
        batch = model.data_preprocessor(data, training=False)
        results = model.eval()(**batch, mode="predict")
    for result in results:
        labels = result.pred_sem_seg.data
        assert labels.shape == (1, 64, 64)
        assert 0 <= labels.min() <= labels.max() < num_classes


@pytest.mark.slow
def test_tools_test_a_baseline_with_augmentation(tmp_path):
    """Label maps have ADE20K's values, classes from 1 on; pictures are painted."""
    name = "segformer_mit-b0_ade20k"
    cfg = load(name)
    for split in ("train", "test"):  # mmseg's hook that paints builds the training data, too
        for folder, suffix in zip(("img_path", "seg_map_path"), (".jpg", ".png"), strict=True):
            path = tmp_path / cfg[f"{split}_dataloader"].dataset.data_prefix[folder]
            path.mkdir(parents=True)
            shape = (64, 96, 3) if folder == "img_path" else (64, 96)
            for i in range(2):
                values = np.random.default_rng(i).integers(0, 151, shape, np.uint8)
                cv2.imwrite(str(path / f"{i}{suffix}"), values)
    model = MODELS.build(without_weights(cfg.model))
    torch.save(dict(meta={}, state_dict=model.state_dict()), tmp_path / "random.pth")
    output = python(
        "tools/test.py", f"configs/{name}.py", tmp_path / "random.pth", "--work-dir", tmp_path,
        "--aug-test", "--out", tmp_path / "maps", "--show-dir", tmp_path / "shown", "--cfg-options",
        *(f"{s}_dataloader.dataset.data_root={tmp_path}" for s in ("train", "test")),
    )  # fmt: skip
    for metric in ("mIoU", "score", "PQ_st"):
        assert re.search(rf"\b{metric}: \d", output), metric
    maps = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted((tmp_path / "maps").iterdir())]
    assert [m.shape for m in maps] == [(64, 96)] * 2
    assert min(m.min() for m in maps) >= 1
    assert len(list((tmp_path / "shown").rglob("*.png"))) == 2


def published():
    """mmseg's own results by the name of its config, as its readers write them."""
    numbers = {}
    for path in MMSEG.glob("*/metafile.yaml"):
        for model in yaml.safe_load(path.read_text(encoding="utf-8"))["Models"]:
            metrics = model["Results"]["Metrics"]
            values = [metrics.get(key) for key in ("mIoU", "mIoU(ms+flip)")]
            numbers[model["Name"]] = ["-" if v is None else f"{v:.2f}" for v in values]
    return numbers


def test_table_of_the_readme():
    """Every baseline once, with what it is made from and mmseg's number for that, if it is one
    for this dataset."""
    text = (ROOT / "configs/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \| `([^`]+)` \| (\S+) \| (\S+) \|", text, re.MULTILINE)
    assert {row[0]: row[1] for row in rows} == SOURCES
    assert len(rows) == len(SOURCES)
    numbers = published()
    for name, source, *values in rows:
        known = numbers.get(source.split("/")[1], ["-", "-"])
        assert values == (known if name in FULL else ["-", "-"]), name
