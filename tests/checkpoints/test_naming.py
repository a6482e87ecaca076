"""Names and orders of other implementations' weights, example by example."""

import pytest
import torch

from mmmaskformer.checkpoints.naming import (
    WRAPPERS,
    CheckpointError,
    convert,
    merge_by_channel,
    recognise,
)

MARK = {"sem_seg_head.layer_4.weight": torch.ones(1)}
PREDICTOR = "decode_head.predictor."
ORIGINAL = {
    "backbone.stem.conv1.weight": "backbone.conv1.weight",
    "backbone.stem.conv1.norm.running_var": "backbone.bn1.running_var",
    "backbone.res2.0.shortcut.weight": "backbone.layer1.0.downsample.0.weight",
    "backbone.res2.0.shortcut.norm.bias": "backbone.layer1.0.downsample.1.bias",
    "backbone.res4.22.conv2.weight": "backbone.layer3.22.conv2.weight",
    "backbone.res5.2.conv3.norm.running_mean": "backbone.layer4.2.bn3.running_mean",
    "backbone.patch_embed.proj.bias": "backbone.patch_embed.projection.bias",
    "backbone.layers.2.blocks.5.attn.proj.bias": "backbone.stages.2.blocks.5.attn.w_msa.proj.bias",
    "backbone.layers.3.blocks.1.mlp.fc2.bias": "backbone.stages.3.blocks.1.ffn.layers.1.bias",
    "backbone.norm3.weight": "backbone.norm3.weight",
    "sem_seg_head.adapter_1.weight": "pixel_decoder.lateral_convs.0.conv.weight",
    "sem_seg_head.pixel_decoder.adapter_3.norm.bias": "pixel_decoder.lateral_convs.2.norm.bias",
    "sem_seg_head.layer_4.weight": "pixel_decoder.output_convs.3.conv.weight",
    "sem_seg_head.pixel_decoder.layer_1.norm.weight": "pixel_decoder.output_convs.0.norm.weight",
    "sem_seg_head.mask_features.bias": "pixel_decoder.mask_features.bias",
    "sem_seg_head.input_proj.weight": "pixel_decoder.input_proj.weight",
    "sem_seg_head.transformer.encoder.layers.5.norm2.bias": (
        "pixel_decoder.encoder_layers.5.ffn_norm.bias"
    ),
    "sem_seg_head.pixel_decoder.transformer.encoder.layers.0.self_attn.in_proj_weight": (
        "pixel_decoder.encoder_layers.0.self_attn.in_proj_weight"
    ),
    "sem_seg_head.predictor.transformer.decoder.layers.3.norm2.weight": (
        "transformer_decoder.layers.3.cross_attn_norm.weight"
    ),
    "sem_seg_head.predictor.transformer.decoder.layers.3.multihead_attn.out_proj.bias": (
        "transformer_decoder.layers.3.cross_attn.out_proj.bias"
    ),
    "sem_seg_head.predictor.transformer.decoder.norm.weight": "transformer_decoder.norm.weight",
    "sem_seg_head.predictor.query_embed.weight": "query_embed.weight",
    "sem_seg_head.predictor.input_proj.bias": "memory_proj.bias",
    "sem_seg_head.predictor.class_embed.weight": "class_embed.weight",
    "sem_seg_head.predictor.mask_embed.layers.2.bias": "mask_embed.layers.2.bias",
    "sem_seg_head.predictor.weight": "classifier.weight",
}


def ours(name):
    return name if name.startswith("backbone.") else PREDICTOR + name


@pytest.mark.parametrize(("theirs", "name"), ORIGINAL.items(), ids=ORIGINAL)
def test_names_of_the_original(theirs, name):
    tensor = torch.randn(2)
    result = convert({**MARK, "criterion.empty_weight": torch.ones(3), theirs: tensor})
    assert result.state_dict[ours(name)] is tensor
    assert list(result.unused) == ["criterion.empty_weight"]


def test_deep_stem():
    names = [f"backbone.stem.conv{i}.{kind}" for i in (1, 2, 3) for kind in ("weight", "norm.bias")]
    result = convert({name: torch.full((1,), i) for i, name in enumerate(names)})
    expected = {
        "backbone.stem.0.weight": 0,
        "backbone.stem.1.bias": 1,
        "backbone.stem.3.weight": 2,
        "backbone.stem.4.bias": 3,
        "backbone.stem.6.weight": 4,
        "backbone.stem.7.bias": 5,
    }
    assert {name: t.item() for name, t in result.state_dict.items()} == expected


def test_batch_counters_are_added():
    result = convert({**MARK, "backbone.stem.conv1.norm.running_mean": torch.zeros(4)})
    assert result.state_dict["backbone.bn1.num_batches_tracked"].item() == 0


def test_query_key_and_value_are_joined_in_this_order():
    layer = "model.transformer_module.decoder.layers.1.encoder_attn."
    swin = "model.pixel_level_module.encoder.model.encoder.layers.2.blocks.4.attention.self."
    weights = {layer + f"{p}_proj.bias": torch.full((2,), i) for i, p in enumerate("qkv")}
    for i, part in enumerate(("query", "key", "value")):
        weights[f"{swin}{part}.weight"] = torch.full((1, 3), i)
    result = convert(dict(reversed(weights.items()))).state_dict
    joined = result[PREDICTOR + "transformer_decoder.layers.1.cross_attn.in_proj_bias"]
    assert joined.tolist() == [0, 0, 1, 1, 2, 2]
    joined = result["backbone.stages.2.blocks.4.attn.w_msa.qkv.weight"]
    assert joined.tolist() == [[0] * 3, [1] * 3, [2] * 3]
    weights.pop(layer + "k_proj.bias")
    with pytest.raises(CheckpointError, match="query, key or value of .*in_proj_bias is missing"):
        convert(weights)


def test_patch_merging_order():
    """Value 10 c + n for channel c of neighbour n = 0..3 in the original's order, whose (row,
    column) are (0, 0), (1, 0), (0, 1), (1, 1); unfolding goes through a row first."""
    original = torch.tensor([10 * c + n for n in range(4) for c in range(3)])
    expected = [10 * c + n for c in range(3) for n in (0, 2, 1, 3)]
    assert merge_by_channel(original).tolist() == expected
    weight = torch.stack([original, original + 100])
    name = "backbone.layers.1.downsample.reduction.weight"
    result = convert({**MARK, name: weight}).state_dict
    merged = result["backbone.stages.1.downsample.reduction.weight"]
    assert merged.tolist() == [expected, [e + 100 for e in expected]]


def test_openmmlab_keeps_its_own_patch_merging():
    weight = torch.randn(2, 12)
    name = "backbone.stages.1.downsample.reduction.weight"
    mark = "panoptic_head.pixel_decoder.mask_feature.bias"
    assert convert({name: weight, mark: torch.ones(1)}).state_dict[name] is weight
    again = convert({name: weight, PREDICTOR + "query_embed.weight": torch.ones(1)})
    assert again.state_dict[name] is weight


def test_torchvision_swin_equals_the_authors():
    """torchvision's names of the same values; its index is flat."""
    index = torch.arange(16).view(4, 4)
    authors = {
        "patch_embed.proj.weight": torch.randn(3),
        "patch_embed.norm.bias": torch.randn(3),
        "layers.0.blocks.0.attn.qkv.weight": torch.randn(3),
        "layers.2.blocks.5.norm2.weight": torch.randn(3),
        "layers.3.blocks.1.mlp.fc1.weight": torch.randn(3),
        "layers.3.blocks.1.mlp.fc2.bias": torch.randn(3),
        "layers.1.blocks.0.attn.relative_position_index": index,
        "layers.2.downsample.norm.weight": torch.randn(8),
    }
    torchvision = [
        "features.0.0.weight",
        "features.0.2.bias",
        "features.1.0.attn.qkv.weight",
        "features.5.5.norm2.weight",
        "features.7.1.mlp.0.weight",
        "features.7.1.mlp.3.bias",
        "features.3.0.attn.relative_position_index",
        "features.6.norm.weight",
    ]
    renamed = dict(zip(torchvision, authors.values(), strict=True))
    renamed["features.3.0.attn.relative_position_index"] = index.flatten()
    a, b = convert(authors).state_dict, convert(renamed).state_dict
    assert list(a) == list(b)
    for name, tensor in a.items():
        assert torch.equal(tensor, b[name]), name


def test_classifier_layers_are_named_not_used():
    weights = {
        "layers.0.blocks.0.attn.qkv.weight": torch.ones(1),
        "layers.0.blocks.1.attn_mask": torch.ones(1),
        "norm.weight": torch.ones(1),
        "head.bias": torch.ones(1),
    }
    result = convert(weights)
    assert list(result.state_dict) == ["stages.0.blocks.0.attn.w_msa.qkv.weight"]
    assert "every image size" in result.unused["layers.0.blocks.1.attn_mask"]
    assert "classifier" in result.unused["norm.weight"]
    assert "classifier" in result.unused["head.bias"]


@pytest.mark.parametrize(
    "wrap",
    [
        "module.{}",
        "model.{}",
        "net.{}",
        "_orig_mod.{}",
        "model._orig_mod.{}",
        "module._orig_mod.module.{}",
        "segmentor.net.module.{}",
        "_fsdp_wrapped_module.{}",
    ],
)
def test_prefixes_of_wrappers(wrap):
    names = {
        "model.pixel_level_module.decoder.mask_projection.bias": "pixel_decoder.mask_features.bias",
        "class_predictor.bias": "class_embed.bias",
    }
    weights = {wrap.format(name): torch.ones(1) for name in names}
    if WRAPPERS.sub("", wrap.format("")):
        weights["metric.total"] = torch.ones(1)
    result = convert({**weights, "steps": torch.tensor(3)})
    assert list(result.state_dict) == [PREDICTOR + name for name in names.values()]
    prefix = WRAPPERS.sub("", wrap.format(""))
    expected = {"steps": "counts the averages of the model"}
    if prefix:
        expected["metric.total"] = f"is not under {prefix!r}, where the model is"
    assert result.unused == expected


def test_wrappers_of_parts():
    weights = {"sem_seg_head._orig_mod.layer_4.module.weight": torch.ones(1)}
    expected = [PREDICTOR + "pixel_decoder.output_convs.3.conv.weight"]
    assert list(convert(weights).state_dict) == expected


def test_classifiers_stand_alone():
    name = "layer1.0.conv1.weight"
    assert recognise([f"model.{name}", "n_averaged"])[1] == "model."
    for others in ([f"model.{name}", "model2.fc.bias"], [f"backbone.{name}"]):
        with pytest.raises(CheckpointError, match="belong to no implementation"):
            recognise(others)


def test_two_models_are_not_told_apart():
    names = [f"{who}.{name}" for name in MARK for who in ("teacher", "student")]
    with pytest.raises(CheckpointError, match=r"2 models in the file, under student\., teacher\."):
        recognise(names)


def test_unknown_names_are_listed():
    weights = {**MARK, "sem_seg_head.sampler.weight": torch.ones(1)}
    with pytest.raises(CheckpointError, match=r"original's.* 1 of 2 are unknown: sem_seg_head\.s"):
        convert(weights)
    with pytest.raises(CheckpointError, match=r"named a, b belong to no implement.*torchvision"):
        convert({"a": torch.ones(1), "b": torch.ones(1)})


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("sem_seg_head.predictor.weight", "the original's MaskFormer"),
        ("backbone.stem.conv2.weight", "the original's MaskFormer (deep stem)"),
        ("model.pixel_level_module.decoder.mask_projection.weight", "transformers' MaskFormer"),
        ("decode_head.transformer_decoder.post_norm.weight", "mmseg's or mmdet's MaskFormer"),
        ("panoptic_head.pixel_decoder.mask_feature.weight", "mmseg's or mmdet's MaskFormer"),
        ("decode_head.predictor.query_embed.weight", "mmmaskformer's own format"),
        ("stem.conv2.weight", "a Detectron2 ResNet with a stem of three convolutions"),
        ("stem.conv1.weight", "a Detectron2 ResNet"),
        ("layer1.0.conv1.weight", "a torchvision ResNet"),
        ("features.1.0.attn.qkv.weight", "a torchvision Swin transformer"),
        ("layers.0.blocks.0.attn.qkv.weight", "a Swin transformer of its authors"),
    ],
)
def test_every_format_is_recognised(name, source):
    found, prefix = recognise([name])
    assert (found.name, prefix) == (source, "")
