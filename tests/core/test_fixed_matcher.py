import itertools

import pytest
import torch

from mmmaskformer import core


def problem(labels, queries=6, classes=5):
    output = core.FactoredOutput(
        torch.randn(2, len(labels), queries, classes + 1),
        torch.randn(2, len(labels), queries, 4),
        torch.randn(len(labels), 4, 3, 4),
    )
    targets = [
        core.SegmentTargets(
            torch.tensor(classes, dtype=torch.int64),
            torch.randint(-1, len(classes), (12, 16), dtype=torch.int32),
            f"image{i}.png",
        )
        for i, classes in enumerate(labels)
    ]
    return output, targets


def test_every_class_is_matched_with_the_query_of_its_number():
    labels = [[4, 0, 2], [], [1]]
    output, targets = problem(labels)
    matches = core.FixedAssigner()(output, targets)
    found = list(
        zip(
            *(getattr(matches, name).tolist() for name in ("image", "layer", "query", "segment")),
            strict=True,
        )
    )
    expected = {
        (image, layer, label, segment)
        for image, layer in itertools.product(range(3), range(2))
        for segment, label in enumerate(labels[image])
    }
    assert found == sorted(expected)
    assert matches.per_image == (6, 0, 2)


def test_the_loss_is_that_of_the_given_pairs():
    output, targets = problem([[3, 1]])
    losses = core.MaskFormerCriterion(core.FixedAssigner())(output, targets)
    masks = targets[0].masks().float().flatten(1)
    for layer, prefix in enumerate(["d0.", ""]):
        classes = torch.tensor([5, 1, 5, 3, 5, 5])  # "no object" is class 5
        logits = core.layer_mask_logits(output, layer)
        logits = torch.nn.functional.interpolate(logits, (12, 16), mode="bilinear")[0].flatten(1)
        expected = {
            "loss_cls": core.ClassLoss()(output.class_logits[layer, 0], classes),
            "loss_mask": 20 * core.FocalLoss()(logits[[3, 1]], masks).mean(),
            "loss_dice": core.DiceLoss()(logits[[3, 1]], masks).mean(),
        }
        for name, value in expected.items():
            torch.testing.assert_close(losses[prefix + name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("labels", "queries", "message"),
    [
        ([[0, 1], [2, 2, 1, 1]], 6, r"image1\.png: classes \[1, 2\] have more than one segment"),
        ([[0]], 4, "num_queries must be at least 5, got 4"),
        ([[7]], 6, r"image0\.png: classes \[7\] of segments are outside"),
    ],
)
def test_what_fixed_matching_can_not_match(labels, queries, message):
    with pytest.raises(ValueError, match=message):
        core.FixedAssigner()(*problem(labels, queries))


@pytest.mark.parametrize("where", ["class_logits", "mask_embed", "pixels"])
def test_an_output_that_is_not_finite_names_the_image(where):
    output, targets = problem([[0], [1]])
    if where == "pixels":
        output.pixels.features[1, 0, 0, 0] = torch.inf
    else:
        getattr(output, where)[0, 1, 2, 0] = torch.nan
    with pytest.raises(core.NonFiniteCostError, match=r"image1\.png: non-finite output"):
        core.FixedAssigner()(output, targets)


def test_wrong_number_of_targets():
    output, targets = problem([[0], [1]])
    with pytest.raises(ValueError, match="1 targets for 2 images"):
        core.FixedAssigner()(output, targets[:1])
