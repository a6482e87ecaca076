"""Configs against the signatures of what they build."""

import copy

import pytest
from mmengine import registry as root
from mmengine.config import Config
from mmengine.registry import Registry
from mmseg.models import EncoderDecoder

from mmmaskformer.engine.config_check import DEFAULT_TYPES, check_config, config_errors
from mmmaskformer.engine.runner import read_config
from mmmaskformer.heads.maskformer_head import MaskFormerHead
from mmmaskformer.registry import MODELS
from tests.conftest import ROOT, load_config

CONFIG = "maskformer_r18_shapes"
HEAD = "model.decode_head"


def changed(**settings):
    cfg = copy.deepcopy(load_config(CONFIG))
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in settings.items()})
    return cfg


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "configs").glob("*.py")))
def test_nothing_is_said_of_a_right_config(name):
    check_config(load_config(name))


def test_a_part_without_settings_takes_none():
    cfg = changed(**{f"{HEAD}.assigner.type": "FixedAssigner"})
    check_config(cfg)
    cfg.merge_from_dict({f"{HEAD}.assigner.match_costs": []})
    with pytest.raises(ValueError, match="FixedAssigner takes no 'match_costs'"):
        check_config(cfg)


KEYS = {
    f"{HEAD}.num_querys": ("MaskFormerHead", "num_queries"),
    f"{HEAD}.loss_mask.loss_wight": ("FocalLoss", "loss_weight"),
    f"{HEAD}.assigner.match_cost": ("HungarianAssigner", "match_costs"),
    "model.backbone.depht": ("ResNet", "depth"),
    "optim_wrapper.optimizer.lrr": ("AdamW", "lr"),
    "optim_wrapper.clip_grad.max_nrom": ("mmengine", "max_norm"),
    "train_dataloader.datset": ("mmengine", "dataset"),
    "train_dataloader.dataset.data_rot": ("ShapesDataset", "data_root"),
    "train_dataloader.dataset.data_prefix.seg_path": ("ShapesDataset", "seg_map_path"),
    "train_dataloader.dataset.pipeline.0.imdecode_backnd": (
        "LoadImageFromFile",
        "imdecode_backend",
    ),
    "default_hooks.logger.intervall": ("LoggerHook", "interval"),
    "default_hooks.checkpoint.intervall": ("CheckpointHook", "interval"),
    "randomness.sede": ("mmengine", "seed"),
    "visualizer.save_dri": ("PanopticSegVisualizer", "save_dir"),
}


@pytest.mark.parametrize("place", KEYS)
def test_keys_that_nothing_takes_are_named_with_the_nearest(place):
    taker, nearest = KEYS[place]
    above, _, key = place.rpartition(".")
    cfg = changed(**{place: 1})
    with pytest.raises(ValueError, match=r"maskformer_r18_shapes\.py: ") as caught:
        check_config(cfg)
    message = f"{above}: {taker} takes no {key!r}; did you mean {nearest!r}?"
    assert str(caught.value) == f"{cfg.filename}: {message}"


TYPES = {
    "model.backbone.type": ("ResNett", "'ResNett': no such model is registered; did you mean"),
    "optim_wrapper.optimizer.type": ("AdamWW", "no such optimizer is registered; did you mean"),
    "train_cfg.type": ("Foo", "no such loop is registered; known are EpochBasedTrainLoop, "),
    "val_evaluator.0.type": ("mmmaskformer.IouMetric", "did you mean 'IoUMetric'?"),
    "default_scope": ("nope", "default_scope='nope': no such package is installed"),
    "default_scope ": (
        None,
        "model.backbone.type='ResNet': no such model is registered in 'mmengine'; 'mmseg' has it: "
        "write 'mmseg.ResNet', or set default_scope='mmseg'",
    ),
    "model": (3, "model must be a dict with a type, got 3"),
    f"{HEAD}.compile_mask_loss": (True, "it was removed: mask_loss_kernel says what"),
}


@pytest.mark.parametrize("place", TYPES)
def test_types_that_are_not_there_are_named(place):
    value, message = TYPES[place]
    with pytest.raises(ValueError, match=r"maskformer_r18_shapes\.py: ") as caught:
        check_config(changed(**{place.strip(): value}))
    assert message in str(caught.value)


VALUES = {
    "train_cfg.max_iters": (-5, "=-5: it must be a whole number, 1 or more"),
    "train_cfg.val_interval": (0, "=0: it must be a whole number, 1 or more"),
    "default_hooks.checkpoint.interval": (0, "=0: it must be a whole number above 0, or -1"),
    "train_dataloader.batch_size": (0, "=0: it must be a whole number, 1 or more"),
    "val_dataloader.batch_size": ("two", "='two': it must be a whole number, 1 or more"),
    "train_dataloader.num_workers": (-1, "=-1: it must be a whole number, 0 or more"),
    "test_dataloader.num_workers": (True, "=True: it must be a whole number, 0 or more"),
    "optim_wrapper.optimizer.lr": (float("nan"), "=nan: it must be a number, 0 or more"),
    "model.decode_head.loss_mask.loss_weight": (-1, "=-1: it must be a number, 0 or more"),
    "model.decode_head.loss_cls.no_object_weight": (-0.1, "=-0.1: it must be a number, 0 or more"),
    "load_from": (7, "=7: it must be a checkpoint's file name or URL"),
    "custom_hooks": (3, "=3: it must be a list"),
    "default_scope": (3, "=3: it must be the name of a package"),
    "param_scheduler.0.power": ("x", "='x': it must be a number, as PolyLR takes it"),
    "param_scheduler.0.end": ([3], "=[3]: it must be a number, as PolyLR takes it"),
    "default_hooks.checkpoint.save_begin": ("x", "='x': it must be a number, as CheckpointHook"),
    "optim_wrapper.optimizer.eps": ("x", "='x': it must be a number, as AdamW takes it"),
    "train_dataloader": (3, "=3: it must be a dict"),
    "randomness.seed": (2**32, "=4294967296: it must be a whole number, 0 to 4294967295"),
    "model.data_preprocessor.std": ([58.0, 0, 57.0], "=[58.0, 0, 57.0]: it must be a list of nu"),
    "model.data_preprocessor.mean": ([float("nan")] * 3, "=[nan, nan, nan]: it must be a list of"),
    "log_level": ("LOUD", "='LOUD': it must be the name of a level of logging"),
}


@pytest.mark.parametrize("place", VALUES)
def test_values_that_can_not_be_meant_are_named(place):
    value, message = VALUES[place]
    with pytest.raises(ValueError, match=r"maskformer_r18_shapes\.py: ") as caught:
        check_config(changed(**{place: value}))
    assert place + message in str(caught.value)


def test_persistent_workers_need_workers():
    cfg = changed(train_dataloader__num_workers=0, train_dataloader__persistent_workers=True)
    with pytest.raises(ValueError, match=r"set train_dataloader\.persistent_workers=False"):
        check_config(cfg)


def test_augmentation_without_a_view_is_refused():
    cfg = changed()
    index = len(cfg.tta_pipeline) - 1
    cfg.tta_pipeline[index].transforms[0] = []
    place = rf"tta_pipeline\.{index}\.transforms\.0=\[\]: it must be a list of one or more"
    with pytest.raises(ValueError, match=place):
        check_config(cfg)


def test_what_nobody_can_know_is_accepted():
    extra = dict(type="Albu", transforms=[dict(type="Blurr", limit=3)], keymap=None)
    cfg = changed(
        model__backbone__norm_cfg=dict(type="BN", requires_grad=True, made_up=1),
        val_evaluator__0__prefix="seg",
        default_hooks__logger__priority="LOW",
        default_hooks__timer=None,
    )
    cfg.train_dataloader.dataset.pipeline.insert(2, extra)
    check_config(cfg)


class PopsKeys(EncoderDecoder):
    def _init_decode_head(self, decode_head):
        super()._init_decode_head({k: v for k, v in decode_head.items() if k != "spice"})


class TakesNothingOut(EncoderDecoder):
    """No code of its own that builds."""


def test_keys_that_a_users_model_takes_out_are_accepted():
    check_config(changed(model__type=PopsKeys, model__decode_head__spice=3))
    with pytest.raises(ValueError, match="MaskFormerHead takes no 'spice'"):
        check_config(changed(model__type=TakesNothingOut, model__decode_head__spice=3))


def test_the_scope_of_a_users_registry_is_accepted():
    theirs = Registry("model", parent=root.MODELS, scope="spicy")
    try:
        theirs.register_module(name="SpicyNet", module=PopsKeys)
        cfg = changed(default_scope="spicy")
        cfg.model = dict(type="SpicyNet", backbone=dict(type="mmseg.ResNet", depth=18))
        with pytest.raises(ValueError, match="'mmseg' has it: write 'mmseg.SegVisualizationHook'"):
            check_config(cfg)  # mmengine would not find this one either
        cfg = Config(dict(model=cfg.model, default_scope="spicy"))
        check_config(cfg)
        cfg.model.type = "SpicyNett"
        with pytest.raises(ValueError, match="did you mean 'SpicyNet'"):
            check_config(cfg)
    finally:
        root.MODELS.children.pop("spicy")


def test_default_types_are_those_of_the_head(small_model):
    head = small_model.decode_head
    assert isinstance(head, MaskFormerHead)
    built = {
        "pixel_decoder": head.predictor.pixel_decoder,
        "transformer_decoder": head.predictor.transformer_decoder,
        "fusion": head.fusion,
    }
    for key, part in built.items():
        assert DEFAULT_TYPES[key] == f"mmmaskformer.{type(part).__name__}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(model__backbone__depth=19), r"ResNet: KeyError: invalid depth 19 for resnet"),
        (dict(model__decode_head__num_queries=0), "MaskFormerHead: num_queries must be at least 1"),
        (
            dict(model__decode_head__num_queries=10**12),
            r"MaskFormerHead: it does not fit into the memory: .* allocate \d+ bytes",
        ),
        (dict(model__decode_head__align_corners=True), "MaskFormerHead: align_corners must be"),
    ],
)
def test_what_fails_while_it_is_built_is_named(change, message):
    cfg = changed(**change)
    with pytest.raises(ValueError, match=message) as caught, config_errors(cfg):
        MODELS.build(cfg.model)
    assert str(caught.value).startswith(str(cfg.filename))


def test_other_errors_pass():
    with pytest.raises(KeyError), config_errors(Config()):
        {}["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = (", "can not be read: "),
        ("a = b", "can not be read: "),
        ("_base_ = './none.py'", "can not be read: "),
        ("custom_imports = dict(imports=['nope'], allow_failed_imports=False)", "can not be read"),
    ],
)
def test_configs_that_can_not_be_read_are_named(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"config {path} {message}"):
        read_config(str(path))
    with pytest.raises(ValueError, match=f"config {tmp_path} is a folder"):
        read_config(str(tmp_path))


def test_a_config_that_inherits_from_itself_is_named(tmp_path):
    first, second = tmp_path / "a.py", tmp_path / "b.py"
    first.write_text("_base_ = './b.py'")
    second.write_text("_base_ = ['./a.py']")
    with pytest.raises(ValueError, match="inherits from itself") as caught:
        read_config(str(first))
    circle = " -> ".join(map(str, (first, second, first)))
    assert str(caught.value) == f"config {first} inherits from itself: {circle}"


def test_a_config_may_inherit_from_a_file_twice(tmp_path):
    (tmp_path / "c.py").write_text("c = 3")
    for name in "ab":
        (tmp_path / f"{name}.py").write_text("_base_ = ['./c.py']")
    (tmp_path / "d.py").write_text("_base_ = ['{{ fileDirname }}/e.py']")
    (tmp_path / "e.py").write_text("_base_ = './c.py'\ne = {{_base_.c}}")
    assert read_config(str(tmp_path / "d.py")).e == 3
    (tmp_path / "f.py").write_text("_base_ = './a.py'\nf = 1")
    (tmp_path / "a.py").write_text("_base_ = ['./c.py', './g.py']")
    (tmp_path / "g.py").write_text("_base_ = './h.py'")
    (tmp_path / "h.py").write_text("h = 4")
    assert read_config(str(tmp_path / "f.py")).h == 4
