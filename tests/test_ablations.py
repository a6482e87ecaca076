"""The rows of Tables I, VII and VIII that are not released models, and fine-tuning."""

import pytest
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from mmmaskformer.checkpoints.conversion import WithoutMemory
from tests.conftest import load_config as load

register_all_modules()
pytestmark = pytest.mark.usefixtures("mmseg_scope")


@pytest.mark.parametrize(
    ("option", "value", "found"),
    [
        ("transformer_decoder.num_layers", 1, lambda p: len(p.transformer_decoder.layers) == 1),
        (
            "transformer_decoder.self_attention",
            False,
            lambda p: not any("self_attn" in name for name, _ in p.named_parameters()),
        ),
        ("num_queries", 20, lambda p: p.query_embed.num_embeddings == 20),
        ("deep_supervision", False, lambda p: not p.deep_supervision),
        (
            "pixel_decoder.type",
            "TransformerEncoderPixelDecoder",
            lambda p: len(getattr(p.pixel_decoder, "encoder_layers", ())) == 6,
        ),
    ],
)
def test_ablations_are_one_option(option, value, found):
    cfg = load("maskformer_r50_ade20k")
    cfg.merge_from_dict({f"model.decode_head.{option}": value})
    with WithoutMemory():
        predictor = MODELS.build(cfg.model).decode_head.predictor
    assert found(predictor)
    with WithoutMemory():
        assert not found(MODELS.build(load("maskformer_r50_ade20k").model).decode_head.predictor)


def differences(ours, base, path=""):
    """Paths of the settings that differ between two configs' models."""
    if isinstance(ours, dict) and isinstance(base, dict):
        return [
            found
            for key in sorted({*ours, *base})
            for found in differences(ours.get(key), base.get(key), f"{path}.{key}")
        ]
    return [] if ours == base else [path]


@pytest.mark.parametrize(
    ("suffix", "datasets", "changed"),
    [
        (
            "general",
            ("ade20k", "coco-stuff-10k", "ade20k-full"),
            {".fusion": dict(type="GeneralFusion", object_threshold=0.3)},
        ),
        ("1dec", ("ade20k", "ade20k-panoptic"), {".transformer_decoder.num_layers": 1}),
        (
            "noselfattn",
            ("ade20k", "ade20k-panoptic"),
            {".transformer_decoder.self_attention": False},
        ),
    ],
)
def test_rows_of_the_ablation_tables_differ_in_one_setting(suffix, datasets, changed):
    for dataset in datasets:
        ours, base = load(f"maskformer_r50_{dataset}-{suffix}"), load(f"maskformer_r50_{dataset}")
        found = differences(ours.model.decode_head, base.model.decode_head)
        assert found == list(changed)
        for path, value in changed.items():
            setting = ours.model.decode_head
            for key in path[1:].split("."):
                setting = setting[key]
            assert setting == value
        ours.model.decode_head = base.model.decode_head
        ours, base = ours.to_dict(), base.to_dict()
        assert ours == base
        with WithoutMemory():
            MODELS.build(load(f"maskformer_r50_{dataset}-{suffix}").model)


def test_table_1_trains_on_both_splits():
    cfg = load("maskformer_swin-l_ade20k-trainval")
    base = load("maskformer_swin-l_ade20k")
    first, second = cfg.train_dataloader.dataset.datasets
    assert first == base.train_dataloader.dataset
    assert second.data_prefix == base.val_dataloader.dataset.data_prefix
    assert second.pipeline == first.pipeline
    assert cfg.test_evaluator.format_only


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("maskformer_r50_finetune", "maskformer_r50_ade20k"),
        ("maskformer_swin-t_finetune", "maskformer_swin-t_ade20k"),
        ("maskformer_r50_finetune-panoptic", "maskformer_r50_coco-panoptic"),
    ],
)
def test_fine_tuning_keeps_all_weights_but_the_classifier(name, trained):
    cfg, base = load(name), load(trained)
    assert cfg.load_from == f"{trained}.pth"
    with WithoutMemory():
        cfg.model.backbone.init_cfg = base.model.backbone.init_cfg = None
        ours, theirs = (MODELS.build(c.model).state_dict() for c in (cfg, base))
    assert ours.keys() == theirs.keys()
    assert {key for key in ours if ours[key].shape != theirs[key].shape} == {
        "decode_head.predictor.class_embed.weight",
        "decode_head.predictor.class_embed.bias",
    }
