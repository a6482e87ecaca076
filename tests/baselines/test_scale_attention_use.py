"""HMSANet's attention between scales where others use it, and what it refuses."""

import copy

import pytest
import torch

from mmmaskformer.inference.predictor import check_task, has_views, merging_model
from mmmaskformer.registry import MODELS
from tests.baselines.test_scale_attention import FCN, QUERIES, build
from tests.seg.test_segmentor import CLASSES, make_data

pytestmark = pytest.mark.usefixtures("mmseg_scope")


@pytest.mark.parametrize("head", [FCN, QUERIES])
def test_views_of_one_size_are_averaged(head):
    """Joint maps as they are, without a softmax; flips are undone."""
    model = build(head).eval()
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model)).eval()
    views = [make_data((64, 80)), make_data((64, 80))]
    views[1]["inputs"] = [image.flip(-1) for image in views[1]["inputs"]]
    plain = [model.test_step(copy.deepcopy(view))[0].seg_logits.data for view in views]
    for view, flip in zip(views, (False, True), strict=True):
        view["data_samples"][0].set_metainfo(dict(flip=flip, flip_direction="horizontal"))
    (result,) = tta.test_step({key: [view[key] for view in views] for key in views[0]})
    expected = (plain[0] + plain[1].flip(-1)) / 2
    torch.testing.assert_close(result.seg_logits.data, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(result.pred_sem_seg.data[0], expected.argmax(0))
    assert "gt_sem_seg" in result


def test_views_of_several_sizes_are_refused():
    model = build().eval()
    tta = MODELS.build(dict(type="mmmaskformer.MaskFormerTTA", module=model)).eval()
    views = [make_data((64, 80)), make_data((32, 40))]
    with pytest.raises(ValueError, match=r"may differ in flips only, got .*\(32, 40\)"):
        tta.test_step({key: [view[key] for view in views] for key in views[0]})


def test_its_results_are_not_views_of_the_head():
    """A Predictor asks the model, not its head, which would see one scale only."""
    model = build({**QUERIES, "isthing": [True] * CLASSES})
    assert not has_views(model)
    with pytest.raises(ValueError, match="task must be one of semantic for this model"):
        check_task(model, "panoptic")
    model.cfg = type("Cfg", (), dict(tta_model=dict(type="mmmaskformer.MaskFormerTTA")))
    assert merging_model(model).module is model


def test_it_is_not_exported():
    from mmmaskformer.export.description import describe

    with pytest.raises(ValueError, match="a ScaleAttention can not be exported"):
        describe(build(QUERIES))


@pytest.mark.parametrize("name", ["train_scales", "test_scales"])
@pytest.mark.parametrize(
    "scales", [[], [0.5, 2], [1, 0.5, 0.5], [1, -0.5], [1, 0], [1, float("nan")], 1, ["1", "2"]]
)
def test_wrong_scales(name, scales):
    with pytest.raises(ValueError, match=f"{name} must be a list of . or more different positive"):
        build(**{name: scales})


def test_training_needs_two_scales():
    with pytest.raises(ValueError, match="train_scales must be a list of 2 or more"):
        build(train_scales=[1])


def test_a_scale_that_leaves_nothing():
    model = build(test_scales=[1, 0.01]).eval()
    with pytest.raises(ValueError, match=r"\.jpg: scale 0\.01 leaves nothing of \(64, 96\) pix"):
        model.test_step(make_data((64, 96)))


BINARY = dict(
    type="FCNHead",
    in_channels=512,
    channels=8,
    num_classes=2,
    out_channels=1,
    threshold=0.5,
    loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=True),
)


class NoConvolution(torch.nn.Module):
    align_corners, num_classes, out_channels = False, CLASSES, CLASSES


class TwoMaps(torch.nn.Module):
    """Gives its logits in a list."""

    align_corners, num_classes, out_channels, channels = False, CLASSES, CLASSES, 512

    def __init__(self):
        super().__init__()
        self.conv_seg = torch.nn.Conv2d(512, CLASSES, 1)

    def forward(self, features):
        return [self.conv_seg(features[-1])]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(test_cfg=dict(mode="slid")), "test_cfg.mode must be 'whole' or 'slide', got 'slid'"),
        (dict(test_cfg=dict(mode="slide")), r"test_cfg needs \['crop_size', 'stride'\]"),
        (dict(attention_channels=0), "attention_channels must be at least 1, got 0"),
        (
            dict(decode_head=BINARY),
            "a head with conv_seg for two or more classes, .* got FCNHead with",
        ),
        (dict(test_cfg=dict(panoptic_on=True)), r"semantic scores only: .* \['panoptic_on'\]"),
        (
            dict(decode_head=NoConvolution()),
            "needs a head with conv_seg .* got NoConvolution with",
        ),
        (
            dict(decode_head={**QUERIES, "fusion": dict(type="GeneralFusion")}),
            "got MaskFormerHead with GeneralFusion",
        ),
        (
            dict(
                decode_head=dict(
                    type="mmmaskformer.PanopticDeepLabHead",
                    in_channels=[64, 128, 512],
                    in_index=[0, 1, 3],
                    num_classes=2,
                    isthing=[True, False],
                )  # fmt: skip
            ),
            "got PanopticDeepLabHead with PixelProbabilityFusion",
        ),
        (
            dict(decode_head=QUERIES, scale_loss=dict(type="RMILoss")),
            "scale_loss is for heads of mmseg, not for MaskFormerHead",
        ),
    ],
)
def test_wrong_options(options, message, monkeypatch):
    head = options.get("decode_head")
    if isinstance(head, torch.nn.Module):
        monkeypatch.setattr("mmseg.models.segmentors.encoder_decoder.MODELS.build", lambda _: head)
    with pytest.raises(ValueError, match=message):
        build(**options)


def test_heads_with_several_maps_are_refused():
    model = build().eval()
    model.decode_head = TwoMaps()
    with pytest.raises(
        TypeError, match=r"needs heads that give one map of logits, not \['TwoMaps'"
    ):
        model.test_step(make_data((64, 64)))
