"""Recipes against the table of the original's, and the schedule against its formula."""

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from benchmarks.metafile import config_name as our_name
from mmmaskformer.checkpoints.conversion import WithoutMemory
from mmmaskformer.checkpoints.naming import recognise
from tests.conftest import ROOT
from tests.conftest import load_config as load
from tests.conftest import step_of as by_type
from tests.engine.schedules import learning_rates, start
from tests.reference import parameter_lists, recipes, slow_but_one_dataset

register_all_modules()
pytestmark = pytest.mark.usefixtures("mmseg_scope")
ROWS = recipes()


def rows(*tasks):
    """Rows of the table as parameters of a test."""
    chosen = [row for row in ROWS if row["task"] in tasks]
    return dict(params=chosen, ids=[our_name(row) for row in chosen])


def numbers(text):
    return [int(n) for n in text.split()]


@pytest.fixture(**rows("panoptic"))
def panoptic(request):
    return request.param, load(our_name(request.param))


def test_panoptic_thresholds_and_sizes(panoptic):
    row, cfg = panoptic
    with WithoutMemory():
        fusion = MODELS.build(cfg.model).decode_head.panoptic_fusion
    assert fusion.object_threshold == float(row["object_mask_threshold"])
    assert fusion.overlap_threshold == float(row["overlap_threshold"])
    assert sum(fusion.isthing) == (80 if row["dataset"].startswith("COCO") else 100)
    assert cfg.model.test_cfg.panoptic_on == (row["panoptic_on"] == "True")
    resize = by_type(cfg.train_dataloader.dataset.pipeline, "RandomChoiceResize")
    longest = int(row["max_size_train"])
    assert resize.scales == [(longest, s) for s in numbers(row["min_size_train"])]
    resize = by_type(cfg.test_dataloader.dataset.pipeline, "Resize")
    assert resize.scale == (int(row["max_size_test"]), int(row["min_size_test"]))
    assert cfg.train_dataloader.batch_size * int(row["gpus"]) == int(row["batch"])


STEPPED = [row for row in ROWS if row["steps"]]


@pytest.fixture(**rows("semantic"))
def semantic(request):
    return request.param, load(our_name(request.param))


@pytest.fixture(**rows("semantic", "panoptic"))
def recipe(request):
    return request.param, load(our_name(request.param))


def test_data_pipeline(semantic):
    row, cfg = semantic
    train = cfg.train_dataloader.dataset.pipeline
    resize = by_type(train, "RandomChoiceResize")
    longest = int(row["max_size_train"])
    assert resize.scales == [(longest, s) for s in numbers(row["min_size_train"])]
    assert (resize.resize_type, resize.keep_ratio) == ("mmmaskformer.AntialiasResize", True)
    crop = by_type(train, "RandomCrop")
    assert list(crop.crop_size) == numbers(row["crop_size"])
    assert crop.cat_max_ratio == float(row["single_cat_max_area"])
    assert by_type(train, "RandomFlip").prob == float(row["hflip"])
    by_type(train, "PhotoMetricDistortion")
    if row["mapper_pad_to"] == "-1":
        assert not [step for step in train if step["type"] == "Pad"]
    else:
        pad = by_type(train, "Pad")
        assert pad.size == (int(row["mapper_pad_to"]),) * 2
        assert pad.pad_val == dict(img=(128, 128, 128), seg=int(row["ignore_value"]))
    assert cfg.train_dataloader.batch_size * int(row["gpus"]) == int(row["batch"])
    assert cfg.train_dataloader.num_workers == int(row["num_workers"])
    check_ignored(int(row["ignore_value"]), cfg)

    test_scale = (int(row["max_size_test"]), int(row["min_size_test"]))
    assert by_type(cfg.test_dataloader.dataset.pipeline, "Resize").scale == test_scale
    assert by_type(cfg.tta_pipeline, "Resize").scale == test_scale
    resizes, flips, *_ = by_type(cfg.tta_pipeline, "TestTimeAug").transforms
    longest = int(row["tta_max_size"])
    sizes = [(longest, s) for s in numbers(row["tta_min_sizes"])]
    if row["dataset"].startswith("Mapillary"):
        # Unset in the released model; the paper's factors of the test size (Appendix A.1).
        sizes = [tuple(int(f * side) for side in test_scale) for f in (0.5, 1, 1.5)]
    assert [r.scale for r in resizes] == sizes
    assert {r.backend for r in resizes} == {"pillow"}
    assert [f.prob for f in flips] == [0.0, 1.0]


def check_ignored(value, cfg):
    """Loading, padding, loss and metrics leave the same label out."""
    views = by_type(cfg.tta_pipeline, "TestTimeAug").transforms
    loads = [by_type(loader.dataset.pipeline, "LoadAnnotations") for loader in dataloaders(cfg)]
    for step in (*loads, by_type(views[2], "LoadAnnotations")):
        assert step.get("ignore_index", 255) == value
    assert cfg.model.decode_head.get("ignore_index", 255) == value
    assert cfg.model.data_preprocessor.seg_pad_val == value
    for evaluator in (*cfg.val_evaluator, *cfg.test_evaluator):
        assert evaluator.get("ignore_index", 255) == value


def dataloaders(cfg):
    return [cfg[f"{split}_dataloader"] for split in ("train", "val", "test")]


def test_schedule_and_model(recipe):
    row, cfg = recipe
    assert cfg.train_cfg.max_iters == int(row["max_iter"])
    # The original evaluates at the end where the period is 0.
    assert cfg.train_cfg.val_interval == (int(row["eval_period"]) or cfg.train_cfg.max_iters)
    assert cfg.optim_wrapper.optimizer.type.upper() == row["optimizer"]
    clip = cfg.optim_wrapper.clip_grad
    assert (clip.max_norm, clip.norm_type) == (
        float(row["clip_value"]),
        float(row["clip_norm_type"]),
    )
    assert cfg.model.decode_head.num_classes == int(row["num_classes"])
    check_head(row, cfg.model.decode_head)
    check_backbone(row, cfg.model.backbone)
    preprocessor = cfg.model.data_preprocessor
    divisor = (
        1 if row["method"].startswith("PerPixel") else int(row["model_size_divisibility"]) or 1
    )
    assert preprocessor.test_cfg.size_divisor == divisor
    if row["task"] == "panoptic":
        assert preprocessor.size_divisor == divisor
    assert cfg.auto_scale_lr.base_batch_size == int(row["batch"])
    assert preprocessor.pad_val == 0
    assert preprocessor.bgr_to_rgb == (row["image_format"] == "RGB")


@pytest.mark.parametrize("row", STEPPED, ids=our_name)
def test_steps_of_the_learning_rate(row):
    cfg = load(our_name(row))
    _, (steps, *_) = start(cfg.param_scheduler, cfg.train_cfg.max_iters)
    assert list(steps.milestones.elements()) == numbers(row["steps"])
    assert steps.gamma == float(row["gamma"])


def check_head(row, head):
    if row["method"] == "PerPixelBaseline":
        return
    assert head.transformer_decoder.num_layers == int(row["dec_layers"])
    encoder = head.get("pixel_decoder", {}).get("num_layers", 0)
    assert encoder == int(row["pixel_decoder_enc_layers"])
    if row["method"] == "MaskFormer":
        assert head.num_queries == int(row["queries"])
        assert head.loss_cls.loss_weight == float(row["cls_weight"])
        assert head.loss_mask.loss_weight == float(row["mask_weight"])
        assert head.loss_dice.loss_weight == float(row["dice_weight"])
        assert head.loss_cls.no_object_weight == float(row["no_object_weight"])
        resize_logits = row["postprocess_before_inference"] == "True"
        assert head.get("fusion", {}).get("resize_logits", False) == resize_logits


def check_backbone(row, backbone):
    if row["backbone"].startswith("Swin"):
        assert backbone.embed_dims == int(row["swin_embed"])
        assert backbone.depths == numbers(row["swin_depths"])
        assert backbone.num_heads == numbers(row["swin_heads"])
        assert backbone.window_size == int(row["swin_window"])
        assert backbone.pretrain_img_size == int(row["swin_pretrain_img"])
        assert backbone.drop_path_rate == float(row["drop_path"])
        assert row["backbone_init"][: -len(".pkl")] in backbone.init_cfg.checkpoint
    else:
        assert backbone.depth == int(row["backbone"][1:].rstrip("c"))
        assert backbone.get("stem_channels", 64) == int(row["stem_out"])
        source = {"R50": "resnet50-", "R101": "resnet101-", "R101c": "r101c_deeplab"}
        assert source[row["backbone"]] in backbone.init_cfg.checkpoint
        grid = backbone.get("multi_grid")
        assert (grid or "") == (tuple(numbers(row["res5_multi_grid"])) or "")


@pytest.mark.parametrize("row", slow_but_one_dataset(), ids=our_name)
def test_parameters_and_their_optimizer_groups(row):
    """Count, learning rate and weight decay of every trainable parameter, against the lists of
    the original's own optimizers."""
    listed = parameter_lists()[row["config"]]
    cfg = load(our_name(row))
    cfg.model.backbone.init_cfg = None
    with WithoutMemory():
        model = MODELS.build(cfg.model)
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert sum(p.numel() for p in trained.values()) == listed["num_parameters"]
    expected = {
        original_format(listed).rename(name): tuple(group)
        for name, group in listed["lr_and_weight_decay"].items()
    }
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    names = {id(p): n for n, p in trained.items()}
    groups = {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for p in group["params"]
        if p.requires_grad
    }
    assert groups.keys() == expected.keys()
    for name, group in groups.items():
        assert group == pytest.approx(expected[name]), name
    batch_norms = [m for m in model.train().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not any(p.requires_grad for m in batch_norms for p in m.parameters())
    assert not any(m.training for m in batch_norms)


def test_initialisation_of_the_backbone_is_the_originals():
    """Convolutions by fan-out; frozen norms are the identity, the last of a block, too."""
    cfg = load("maskformer_r50_ade20k").model.backbone
    cfg.init_cfg = None
    backbone = MODELS.build(cfg)
    MMLogger.get_instance("initialisation")  # mmengine writes to the file of the last one
    backbone.init_weights()
    for name, module in backbone.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert (module.weight == 1).all(), name
            assert not module.bias.any(), name
        elif isinstance(module, torch.nn.Conv2d):
            fan_out = module.weight[:, 0].numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05), name


def original_format(listed):
    return recognise(["sem_seg_head.", *listed["state_dict"]])[0]


def decay(row, t, total):
    if row["lr_scheduler"] == "WarmupPolyLR":
        return (1 - t / total) ** float(row["poly_power"])
    return float(row["gamma"]) ** (t >= int(row["steps"]))


def test_learning_rate_follows_the_original_formula(recipe):
    """base x warm-up(t) x (1 - t / T)^0.9 with the warm-up on top, in every iteration from 0."""
    row, cfg = recipe
    base, total, warm = float(row["base_lr"]), int(row["max_iter"]), int(row["warmup_iters"])
    first = float(row["warmup_factor"])
    t = np.arange(total)
    warm_up = np.where(t < warm, first * (1 - t / max(warm, 1)) + t / max(warm, 1), 1.0)
    values = learning_rates(cfg.to_dict()["param_scheduler"], cfg.train_cfg.max_iters, base)
    expected = base * warm_up * decay(row, t, total)
    np.testing.assert_allclose(values[:-1], expected, rtol=1e-7)


LEAVES = sorted((ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_leaf_config_is_short_and_resolves(path):
    assert len(path.read_text().splitlines()) <= 25
    cfg = load(path.stem)
    for key in ("model", "train_dataloader", "test_evaluator", "param_scheduler"):
        assert cfg.get(key) is not None
    dataset = cfg.train_dataloader.dataset
    dataset = dataset.get("datasets", [dataset])[0]
    steps = {step.type.split(".")[-1] for step in dataset.pipeline}
    one_size = "RandomCrop" in steps or "Resize" in steps or "Shapes" in dataset.type
    assert cfg.env_cfg.cudnn_benchmark == one_size


SMALL = [p.stem for p in LEAVES if p.stem.split("_")[-1] in ("camvid", "shapes")]
LARGER = ("maskformer_r50_camvid", "upernet_r50_camvid")
"""As a smaller one with another depth of the backbone."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] if n in LARGER else []) for n in SMALL],
)
def test_model_trains_and_predicts_a_tiny_batch(name):
    from mmengine.model import revert_sync_batchnorm
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    model = revert_sync_batchnorm(MODELS.build(load(name).model))
    samples = []
    for _ in range(2):
        sample = SegDataSample(
            metainfo=dict(img_shape=(64, 64), ori_shape=(64, 64), pad_shape=(64, 64))
        )
        sample.gt_sem_seg = PixelData(data=torch.randint(0, 10, (1, 64, 64)))
        samples.append(sample)
    data = dict(inputs=[torch.zeros(3, 64, 64, dtype=torch.uint8)] * 2, data_samples=samples)
    batch = model.data_preprocessor(data, training=True)
    loss, _ = model.parse_losses(model.train()(**batch, mode="loss"))
    loss.backward()
    assert loss.isfinite()
    if not name.startswith("mmseg-"):  # stock predictions need metadata of the pipeline
        with torch.no_grad():
            results = model.eval()(batch["inputs"], mode="predict")
        assert results[0].pred_sem_seg.data.shape == (1, 64, 64)
