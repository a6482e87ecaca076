"""Recipes against the table of the original's, and the schedule against its formula."""

import csv

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from tests.conftest import ROOT

register_all_modules()
ZOO_CONFIGS = {
    "configs/ade20k-150/maskformer_R50_bs16_160k.yaml": "maskformer_r50_ade20k",
    "configs/ade20k-150/swin/maskformer_swin_large_IN21k_384_bs16_160k_res640.yaml": (
        "maskformer_swin-l_ade20k"
    ),
}


def load(name):
    return Config.fromfile(ROOT / "configs" / f"{name}.py")


def numbers(text):
    return [int(n) for n in text.split()]


def by_type(pipeline, name):
    (step,) = [step for step in pipeline if step["type"].split(".")[-1] == name]
    return step


@pytest.fixture(params=ZOO_CONFIGS, ids=ZOO_CONFIGS.values())
def recipe(request, shared):
    with open(shared / "zoo.csv", newline="") as table:
        (row,) = [r for r in csv.DictReader(table) if r["config"] == request.param]
    return row, load(ZOO_CONFIGS[request.param])


def test_data_pipeline(recipe):
    row, cfg = recipe
    train = cfg.train_dataloader.dataset.pipeline
    resize = by_type(train, "RandomChoiceResize")
    longest = int(row["max_size_train"])
    assert resize.scales == [(longest, s) for s in numbers(row["min_size_train"])]
    assert (resize.resize_type, resize.keep_ratio, resize.backend) == ("Resize", True, "pillow")
    crop = by_type(train, "RandomCrop")
    assert list(crop.crop_size) == numbers(row["crop_size"])
    assert crop.cat_max_ratio == float(row["single_cat_max_area"])
    assert by_type(train, "RandomFlip").prob == float(row["hflip"])
    by_type(train, "PhotoMetricDistortion")
    pad = by_type(train, "Pad")
    assert pad.size == (int(row["mapper_pad_to"]),) * 2
    assert pad.pad_val == dict(img=(128, 128, 128), seg=int(row["ignore_value"]))
    assert cfg.train_dataloader.batch_size * int(row["gpus"]) == int(row["batch"])
    assert cfg.train_dataloader.num_workers == int(row["num_workers"])

    test_scale = (int(row["max_size_test"]), int(row["min_size_test"]))
    assert by_type(cfg.test_dataloader.dataset.pipeline, "Resize").scale == test_scale
    assert by_type(cfg.tta_pipeline, "Resize").scale == test_scale
    resizes, flips, *_ = by_type(cfg.tta_pipeline, "TestTimeAug").transforms
    longest = int(row["tta_max_size"])
    assert [r.scale for r in resizes] == [(longest, s) for s in numbers(row["tta_min_sizes"])]
    assert [f.prob for f in flips] == [0.0, 1.0]
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.test_cfg.size_divisor == int(row["model_size_divisibility"])
    assert preprocessor.pad_val == 0
    assert preprocessor.bgr_to_rgb == (row["image_format"] == "RGB")


def test_schedule_and_model(recipe):
    row, cfg = recipe
    assert cfg.train_cfg.max_iters == int(row["max_iter"])
    assert cfg.train_cfg.val_interval == int(row["eval_period"])
    assert cfg.optim_wrapper.optimizer.type.upper() == row["optimizer"]
    clip = cfg.optim_wrapper.clip_grad
    assert (clip.max_norm, clip.norm_type) == (
        float(row["clip_value"]),
        float(row["clip_norm_type"]),
    )
    head = cfg.model.decode_head
    assert head.num_classes == int(row["num_classes"])
    assert head.num_queries == int(row["queries"])
    assert head.transformer_decoder.num_layers == int(row["dec_layers"])
    assert head.loss_cls.loss_weight == float(row["cls_weight"])
    assert head.loss_mask.loss_weight == float(row["mask_weight"])
    assert head.loss_dice.loss_weight == float(row["dice_weight"])
    assert head.loss_cls.no_object_weight == float(row["no_object_weight"])
    if row["backbone"].startswith("Swin"):
        swin = cfg.model.backbone
        assert swin.embed_dims == int(row["swin_embed"])
        assert swin.depths == numbers(row["swin_depths"])
        assert swin.num_heads == numbers(row["swin_heads"])
        assert swin.window_size == int(row["swin_window"])
        assert swin.pretrain_img_size == int(row["swin_pretrain_img"])
        assert swin.drop_path_rate == float(row["drop_path"])


@pytest.fixture(params=ZOO_CONFIGS, ids=ZOO_CONFIGS.values())
def built(request, shared):
    with open(shared / "zoo.csv", newline="") as table:
        (row,) = [r for r in csv.DictReader(table) if r["config"] == request.param]
    cfg = load(ZOO_CONFIGS[request.param])
    cfg.model.backbone.init_cfg = None
    if "Swin" in row["backbone"]:
        # Groups depend on names and types, not on width: a narrow one is built faster.
        cfg.model.backbone.update(embed_dims=24, num_heads=[1, 2, 4, 8])
        cfg.model.decode_head.in_channels = [24, 48, 96, 192]
    return row, cfg, MODELS.build(cfg.model)


def test_optimizer_groups(built):
    """Every parameter's learning rate and weight decay."""
    row, cfg, model = built
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    groups = {id(g["params"][0]): g for g in optimizer.param_groups}
    lr, decay = float(row["base_lr"]), float(row["weight_decay"])
    kinds = {True: set(), False: set()}
    for module_name, module in model.named_modules():
        norm = isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm))
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            full = f"{module_name}.{name}"
            group = groups.pop(id(parameter))
            factor = float(row["backbone_multiplier"]) if full.startswith("backbone") else 1.0
            assert group["lr"] == pytest.approx(lr * factor), full
            plain = not (norm or "query_embed" in full or "relative_position" in full)
            assert group["weight_decay"] == pytest.approx(decay if plain else 0.0), full
            kinds[plain].add(full.split(".")[0])
    assert not groups
    assert kinds[True] == {"backbone", "decode_head"}
    assert "decode_head" in kinds[False]
    batch_norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert not any(p.requires_grad for m in batch_norms for p in m.parameters())
    assert not any(m.training for m in model.train().backbone.modules() if m in batch_norms)


def test_learning_rate_follows_the_original_formula(recipe):
    """base x warm-up(t) x (1 - t / T)^0.9 with the warm-up on top, counted from step 0."""
    row, cfg = recipe
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=float(row["base_lr"]))
    schedulers = [PARAM_SCHEDULERS.build(dict(s, optimizer=optimizer)) for s in cfg.param_scheduler]
    total, warm = int(row["max_iter"]), int(row["warmup_iters"])
    start = float(row["warmup_factor"])
    for t in range(3000):
        factor = start * (1 - t / warm) + t / warm if t < warm else 1.0
        expected = float(row["base_lr"]) * factor * (1 - t / total) ** float(row["poly_power"])
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-6), t
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


LEAVES = sorted((ROOT / "configs").glob("*.py"))


@pytest.mark.parametrize("path", LEAVES, ids=lambda p: p.stem)
def test_leaf_config_is_short_and_resolves(path):
    assert len(path.read_text().splitlines()) <= 25
    cfg = Config.fromfile(path)
    for key in ("model", "train_dataloader", "test_evaluator", "tta_pipeline", "param_scheduler"):
        assert cfg.get(key) is not None


@pytest.mark.parametrize(
    "name", [p.stem for p in LEAVES if p.stem.split("_")[-1] in ("camvid", "shapes")]
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
