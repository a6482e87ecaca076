"""Options of a config: items of lists by their type, and schedules that do not fit the run."""

import argparse
import warnings

import pytest
from mmengine.config import Config

from mmmaskformer.engine.runner import load_config
from tests.conftest import ROOT

CAMVID = "maskformer_r18_camvid"


def load(options, name=CAMVID):
    path = str(ROOT / f"configs/{name}.py")
    return load_config(
        argparse.Namespace(
            config=path, cfg_options=options, local_rank=0, launcher="none", work_dir=None
        )
    )


def test_steps_of_a_pipeline_are_named_by_their_type():
    cfg = load(
        {
            "train_dataloader.dataset.pipeline.RandomCrop.crop_size": (120, 160),
            "train_dataloader.dataset.pipeline.LoadAnnotations.ignore_index": 7,
            "train_dataloader.dataset.pipeline.4.prob": 0.25,
            "tta_pipeline.TestTimeAug.transforms.0.1.scale": (9, 9),
            "val_evaluator.IoUMetric.ignore_index": 7,
            "param_scheduler.PolyLR.power": 2.0,
        }
    )
    expected = Config.fromfile(ROOT / f"configs/{CAMVID}.py")
    pipeline = expected.train_dataloader.dataset.pipeline
    pipeline[3].crop_size, pipeline[1].ignore_index, pipeline[4].prob = (120, 160), 7, 0.25
    assert [step.type.split(".")[-1] for step in pipeline[1:5]] == [
        *("LoadAnnotations", "RandomResize", "RandomCrop", "RandomFlip"),
    ]
    expected.tta_pipeline[1].transforms[0][1].scale = (9, 9)
    expected.val_evaluator[0].ignore_index = 7
    expected.param_scheduler[0].power = 2.0
    for key in ("train_dataloader", "tta_pipeline", "val_evaluator", "param_scheduler", "model"):
        assert cfg[key] == expected[key], key


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "train_dataloader.dataset.pipeline.RandmCrop.crop_size",
            r"--cfg-options train.*: train_dataloader.dataset.pipeline: no item is of type "
            "'RandmCrop'; there are LoadImageFromFile, LoadAnnotations, RandomResize, RandomCrop",
        ),
        (
            "tta_pipeline.TestTimeAug.transforms.1.RandomFlip.prob",
            "tta_pipeline.1.transforms.1: items 0, 1 are of type 'RandomFlip'; give a number",
        ),
        ("model.decode_head.in_channels.last", "no item is of type 'last'; there are 64, 128"),
        ("views.0.Resize.scale", "'views' is a variable of the config file"),
    ],
)
def test_a_name_that_says_no_item(key, message):
    with pytest.raises(ValueError, match=message):
        load({key: 1})


def test_other_schedules_than_ours_must_be_told_the_length_of_the_run():
    """mmseg's schedules end at a number of their own; the names work there, too."""
    short, name = {"train_cfg.max_iters": 20000}, "upernet_r50_ade20k"
    with pytest.warns(UserWarning, match=r"max_iters is 20000.*160000: set param_.*\.PolyLR\.end"):
        load(short, name)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*max_iters")
        load({**short, "param_scheduler.PolyLR.end": 20000}, name)
        load({"train_cfg.val_interval": 5}, name)
        load(short)
