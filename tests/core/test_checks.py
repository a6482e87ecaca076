"""Numbers and parts that constructors refuse, and what is found only when a batch is there."""

import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mmmaskformer import core
from mmmaskformer.core.checks import check_number, read_flags
from mmmaskformer.core.per_pixel import PerPixelCriterion
from mmmaskformer.core.view_merging import merge_views

THINGS = [True, False]


def small(**options):
    settings = dict(num_classes=5, num_queries=6, channels=8, mask_channels=8, norm_groups=4)
    settings.update(decoder_layers=2, num_heads=2, feedforward_channels=16, **options)
    return core.build_maskformer([8, 8], **settings)


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (-1, {}, "x must be at least 0, got -1"),
        (math.nan, {}, "x must be at least 0, got nan"),
        (math.inf, {}, "x must be at least 0, got inf"),
        (2, dict(high=1), r"x must be in \[0, 1\], got 2"),
        ("1", {}, "x must be a number at least 0, got '1'"),
        (None, {}, "x must be a number at least 0, got None"),
        (True, {}, "x must be a number at least 0, got True"),
        (2.5, dict(whole=True), "x must be a whole number at least 0, got 2.5"),
        (0, dict(low=1, whole=True), "x must be at least 1, got 0"),
    ],
)
def test_number_out_of_range_is_named(value, bounds, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        check_number("x", value, **bounds)


def test_number_in_range_is_given_back():
    assert [check_number("x", value, 0, 1) for value in (0, 1, 0.5)] == [0, 1, 0.5]
    assert check_number("x", torch.arange(5).numpy()[4], whole=True) == 4


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: core.ClassLoss(-1), "ClassLoss.loss_weight must be at least 0"),
        (lambda: core.ClassLoss(no_object_weight=-1), "ClassLoss.no_object_weight must be"),
        (lambda: core.ClassLoss(class_weight=3), "ClassLoss.class_weight must be a list"),
        (lambda: core.FocalLoss(math.nan), "FocalLoss.loss_weight"),
        (lambda: core.FPNPixelDecoder(8), "in_channels must be a list of 2 or more whole numbers"),
        (lambda: core.FPNPixelDecoder([8, -1]), r"in_channels\[1\] must be at least 1, got -1"),
        (lambda: read_flags(3), "isthing must be True or False for each class, got 3"),
        (lambda: core.FocalLoss(alpha=1.5), r"FocalLoss.alpha must be in \[-inf, 1\]"),
        (lambda: core.FocalLoss(gamma=-1), "FocalLoss.gamma"),
        (lambda: core.DiceLoss(-2), "DiceLoss.loss_weight"),
        (lambda: core.DiceLoss(smooth=-1), "DiceLoss.smooth"),
        (lambda: PerPixelCriterion(-1), "PerPixelCriterion.loss_weight"),
        (lambda: core.ClassificationCost(-1), "ClassificationCost.weight"),
        (lambda: core.FocalCost(-1), "FocalCost.weight"),
        (lambda: core.DiceCost(-1), "DiceCost.weight"),
        (lambda: core.GeneralFusion(object_threshold=1.5), r"object_threshold must be in \[0, 1\]"),
        (lambda: core.PanopticFusion(THINGS, object_threshold=-1), "object_threshold"),
        (lambda: core.PanopticFusion(THINGS, overlap_threshold=2), "overlap_threshold"),
        (lambda: core.InstanceFusion(THINGS, max_per_image=0), "max_per_image"),
        (lambda: core.InstanceFusion(THINGS, score_threshold=-1), "score_threshold"),
        (lambda: core.PanopticFusion(["no", "yes"]), "isthing must be True or False"),
        (lambda: core.InstanceFusion("no"), "isthing must be True or False"),
        (lambda: small(dropout=2), r"dropout must be in \[0, 1\], got 2"),
        (lambda: core.TransformerDecoder(8, num_heads=3), "multiple of num_heads=3, got 8"),
        (lambda: core.TransformerDecoder(8, num_heads=0), "num_heads must be at least 1, got 0"),
        (lambda: core.FPNPixelDecoder([8, 8], channels=8, norm_groups=3), "of norm_groups=3"),
        (lambda: core.FPNPixelDecoder([8, 8], mask_channels=0), "mask_channels must be at least 1"),
    ],
)
def test_constructors_refuse_what_can_not_be_meant(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_flags():
    assert read_flags([1, 0, True, False]) == (True, False, True, False)


class Weighted(nn.Module):
    """A loss as mmdet has them: it multiplies by its weight itself."""

    def __init__(self, mean, weight=5.0):
        super().__init__()
        self.mean, self.loss_weight = mean, weight

    def forward(self, logits, target):
        values = (logits.sigmoid() - target).square().mean(1)
        return self.loss_weight * (values.mean() if self.mean else values)


class Plain(Weighted):
    def forward(self, logits, target):
        return (logits.sigmoid() - target).square().mean(1)


@pytest.mark.parametrize("place", ["loss_mask", "loss_dice"])
@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (Weighted(mean=True), r"Weighted must give values of shape \(2,\) here.* but gives \(\)"),
        (Weighted(mean=False), "not yet multiplied by its loss_weight, but multiplies itself"),
        (nn.Identity(), "loss_weight of Identity must be a number"),
        (core.ClassLoss(), None),
        (Plain(mean=False), None),
    ],
)
def test_losses_of_others_are_tried(place, loss, message):
    if message is None:
        assert getattr(core.MaskFormerCriterion(**{place: loss}), place) is loss
        return
    kind = ValueError if "Identity" in message else TypeError
    with pytest.raises(kind, match=rf"^{place}: .*{message}"):
        core.MaskFormerCriterion(**{place: loss})


def test_costs_of_others_are_tried():
    class Cost:
        weight = 1.0

        def __call__(self, pred_instances, gt_instances):
            raise AssertionError

    with pytest.raises(TypeError, match=r"match_costs: .*Cost must give .* 'gt_instances'"):
        core.HungarianAssigner([Cost()])
    with pytest.raises(ValueError, match="weight of object must be a number"):
        core.HungarianAssigner([object()])
    Cost.__call__ = lambda self, candidates: candidates.prob @ candidates.one_hot
    assert len(core.HungarianAssigner([Cost()]).match_costs) == 1


def test_class_weights_are_those_of_cross_entropy():
    logits, target = torch.randn(7, 4), torch.tensor([0, 1, 2, 3, 3, 1, 0])
    for given, weights in (([1, 2, 3], [1, 2, 3, 0.5]), ([1, 2, 3, 4], [1, 2, 3, 4])):
        loss = core.ClassLoss(class_weight=given, no_object_weight=0.5)
        expected = nn.functional.cross_entropy(logits, target, torch.tensor(weights).float())
        torch.testing.assert_close(loss(logits, target), expected)
        assert not loss.state_dict()
    with pytest.raises(ValueError, match="must have 3 numbers, .* or 4, .*; it has 2"):
        core.ClassLoss(class_weight=[1, 2])(logits, target)


@pytest.mark.parametrize("weights", ["file.npy", [0, 0], [1, -1], [1, math.nan], []])
def test_bad_class_weights_are_refused(weights):
    with pytest.raises(ValueError, match="ClassLoss.class_weight"):
        core.ClassLoss(class_weight=weights)


def features():
    return [torch.randn(2, 8, 8, 8), torch.randn(2, 8, 4, 4)]


def test_one_class_trains_and_predicts():
    model = small()
    model.predictor.class_embed = nn.Linear(8, 2)
    built = core.build_maskformer(
        [8, 8], 1, channels=8, mask_channels=8, norm_groups=4, num_heads=2
    )
    assert built.predictor.class_embed.out_features == 2
    maps = torch.randint(-1, 2, (2, 32, 32)).int()
    targets = [core.SegmentTargets(torch.tensor([0, 0]), one) for one in maps]
    sum(model.criterion(model.train()(features()), targets).values()).backward()
    assert model.predictor.class_embed.weight.grad.abs().sum() > 0
    view = core.View(
        torch.tensor([[0.9, 0.1], [0.1, 0.9]]),
        torch.stack([torch.full((8, 8), 9.0), torch.full((8, 8), 9.0)]),
        (32, 32),
        (32, 32),
    )
    result = core.PanopticFusion([True])(view, (32, 32))
    assert (result.ids == 1).all()
    assert [s["category_id"] for s in result.segments_info] == [0]
    assert core.InstanceFusion([True])(view, (32, 32)).scores[0] == pytest.approx(0.9, abs=1e-3)
    assert core.SemanticFusion().labels([view], (32, 32)).unique().tolist() == [0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("part", ["class_prob", "mask_logits"])
def test_what_is_not_finite_becomes_no_label(value, part):
    parts = dict(class_prob=torch.rand(3, 3).softmax(-1), mask_logits=torch.randn(3, 4, 4))
    parts[part][1, 2] = value
    view = core.View(**parts, input_size=(16, 16), content_size=(16, 16))
    fusions = [
        core.SemanticFusion().labels,
        core.SemanticFusion().scores,
        core.GeneralFusion().labels,
        lambda views, size: core.PanopticFusion(THINGS)(views[0], size),
        lambda views, size: core.InstanceFusion(THINGS)(views[0], size),
        lambda views, size: merge_views([*views, *views]),
    ]
    for fuse in fusions:
        with pytest.raises(core.NonFiniteScoreError, match="scores are NaN or infinite"):
            fuse([view], (16, 16))


@pytest.mark.parametrize(
    ("labels", "value", "message"),
    [
        ([0, 5], 0, r"classes \[5\] of segments are outside .* \[0, 4\]"),
        ([0, 9], 0, r"classes \[9\]"),
        ([-1, 2], 0, r"classes \[-1\]"),
        ([0, 1], 2, r"segment map values \[2\] are outside \[0, 1\]"),
        ([0, 1], -2, r"segment map values \[-2\]"),
    ],
)
def test_illegal_targets_are_found_at_the_matching(labels, value, message):
    maps = torch.zeros(2, 32, 32, dtype=torch.int32)
    maps[1, 3, 3] = value
    good = core.SegmentTargets(torch.tensor([0, 1]), maps[0])
    bad = core.SegmentTargets(torch.tensor(labels), maps[1], "b.png")
    model = small().train()
    with pytest.raises(ValueError, match=rf"b\.png: {message}"):
        model.criterion(model(features()), [good, bad])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
def test_types_of_targets(dtype):
    with pytest.raises(TypeError, match=r"a\.png: expected labels of int64 and a segment_map"):
        core.SegmentTargets(torch.tensor([0]), torch.zeros(4, 4, dtype=dtype), "a.png")
    with pytest.raises(TypeError, match="expected labels of int64"):
        core.SegmentTargets(torch.tensor([0]).to(dtype), torch.zeros(4, 4).int())


def test_output_without_queries_is_refused():
    with pytest.raises(ValueError, match="at least one query"):
        core.FactoredOutput(
            torch.zeros(1, 2, 0, 3), torch.zeros(1, 2, 0, 4), torch.zeros(2, 4, 8, 8)
        )


class Seen(TorchDispatchMode):
    """Names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


UNDETERMINED = {  # of torch's list of what raises on a GPU, what comes near here
    *("upsample_bilinear2d_backward", "upsample_linear1d_backward", "upsample_nearest1d_backward"),
    *("nll_loss2d_forward", "nll_loss2d_backward", "put_", "histc", "kthvalue", "median"),
    *("reflection_pad2d_backward", "replication_pad2d_backward", "grid_sampler_2d_backward"),
    *("adaptive_avg_pool2d_backward", "_adaptive_avg_pool2d_backward", "max_unpool2d"),
}


@pytest.mark.parametrize("size", [(32, 32), (30, 27), (32, 33)])
def test_a_training_step_is_deterministic_on_a_gpu(size):
    maps = torch.randint(-1, 2, (2, *size)).int()
    model = small().train()
    targets = [core.SegmentTargets(torch.tensor([0, 3]), one) for one in maps]
    with Seen() as seen:
        sum(model.criterion(model(features()), targets).values()).backward()
    assert "convolution_backward" in seen.names
    assert not seen.names & UNDETERMINED


def test_the_per_pixel_loss_is_deterministic_on_a_gpu():
    logits = torch.randn(1, 2, 5, 8, 7, requires_grad=True)
    classes = torch.randint(0, 6, (2, 30, 27))
    with Seen() as seen:
        PerPixelCriterion()(logits, classes)["loss_ce"].backward()
    assert "_log_softmax_backward_data" in seen.names
    assert not seen.names & UNDETERMINED
    found, logits.grad = logits.grad, None
    full = nn.functional.interpolate(logits[0], scale_factor=4, mode="bilinear")[..., :30, :27]
    nn.functional.cross_entropy(full, classes, ignore_index=5).backward()
    torch.testing.assert_close(found, logits.grad)
