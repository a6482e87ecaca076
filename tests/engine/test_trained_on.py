"""Checkpoints that fit a model by their shapes, and not by what they were trained on."""

from types import SimpleNamespace

import pytest

from mmmaskformer.engine.trained_on import contradictions

SEMANTIC, PANOPTIC = SimpleNamespace(test_cfg={}), SimpleNamespace(test_cfg=dict(panoptic_on=True))
THINGS = dict(classes=["a", "b"], isthing=[True, False])


@pytest.mark.parametrize(
    ("meta", "model", "classes"),
    [
        (THINGS, PANOPTIC, ("a", "b")),
        (THINGS, SEMANTIC, ("a", "b")),
        (dict(classes=["a", "b"]), SEMANTIC, ["a", "b"]),
        (dict(classes=["a", "b"]), SEMANTIC, None),
        ({}, PANOPTIC, ("a", "b")),
        (None, PANOPTIC, ("a", "b")),
    ],
)
def test_nothing_is_said_of_what_agrees_or_is_not_known(meta, model, classes):
    assert contradictions("a.pth", dict(meta=dict(dataset_meta=meta)), model, classes) == []


def test_semantic_weights_and_other_classes_are_told():
    checkpoint = dict(meta=dict(dataset_meta=dict(classes=["a", "b", "c"])))
    first, second = contradictions("a.pth", checkpoint, PANOPTIC, ["a", "c", "b"])
    assert first.startswith("checkpoint a.pth was trained on data without things (its dataset_meta")
    text = "checkpoint a.pth was trained on other classes than those of the data here: "
    assert second == f"{text}b for c, c for b"
    assert contradictions("a.pth", dict(state_dict={}), PANOPTIC, ["a"]) == []
