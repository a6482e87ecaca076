"""A session of a real model, and of models without queries."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from mmmaskformer.baselines.center_fusion import (
    CenterView,
    PanopticDeepLabFusion,
    PixelProbabilityFusion,
)
from mmmaskformer.baselines.slot_fusion import SlotFusion, SlotPanopticFusion
from mmmaskformer.core.fusion import SemanticFusion
from mmmaskformer.core.panoptic_fusion import PanopticFusion
from mmmaskformer.core.views import NonFiniteScoreError, View
from mmmaskformer.datasets.tables import metainfo
from mmmaskformer.inference import Prediction
from mmmaskformer.serve.answers import Thresholds, available_views, fit
from mmmaskformer.serve.limits import Limits, Refused
from mmmaskformer.serve.session import Session
from mmmaskformer.serve.worker import as_told, make_session
from tests.conftest import build_without_weights
from tests.serve.sessions import META, Quarters, make_quarters, quarters
from tests.serve.test_limits import encoded


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A panoptic model of random weights whose scores are spread over [0, 1]."""
    torch.manual_seed(0)
    model = build_without_weights("maskformer_r18_shapes-panoptic")
    with torch.no_grad():
        model.decode_head.predictor.class_embed.weight *= 40
    path = tmp_path_factory.mktemp("serve") / "random.pth"
    torch.save(
        {"meta": {"dataset_meta": metainfo("shapes")}, "state_dict": model.state_dict()}, path
    )
    options = {"device": "cpu"}
    return make_session(0, "maskformer_r18_shapes-panoptic", str(path), Limits(shown=2000), options)


def noise(size):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_first_map_does_not_wait_for_the_lists_of_leaders(session):
    answer = session.answers[session.predict(noise((60, 90)), "a")["id"]]
    thresholds = Thresholds(0.3, 0.5)
    first = answer.map("panoptic", thresholds)
    assert answer.competition.joined == 0
    second = answer.map("panoptic", thresholds)
    assert answer.competition.joined >= answer.competition.count(0.3) > 0
    assert np.array_equal(first.ids, second.ids)
    for entries in (first.entries, second.entries):
        for entry in entries:
            entry.pop("box", None)
    assert first.entries == second.entries


@pytest.mark.parametrize("full", [False, True])
def test_maps_are_what_the_prediction_says(session, full):
    key = session.predict(noise((60, 90)), "a")["id"]
    answer = session.answers[key]
    assert answer.shown_size == fit((60, 90), 2000) != (60, 90)
    size = answer.size if full else answer.shown_size
    prediction = replace(answer.prediction, image=np.zeros((*size, 3), np.uint8))
    kinds = set()
    for objects, overlap in ((0.0, 0.0), (0.3, 0.5), (0.8, 0.8), (1.0, 0.8)):
        found = answer.map("panoptic", Thresholds(objects, overlap), full=full)
        wanted = prediction.with_thresholds(
            object_threshold=objects, overlap_threshold=overlap
        ).panoptic
        assert np.array_equal(found.ids, wanted.ids)
        areas = {s["id"]: (s["category_id"], s["area"], s["class"]) for s in wanted.segments}
        told = {e["id"]: (e["category_id"], e["area"], e["class"]) for e in found.entries}
        assert told == areas
        kinds.add(len(told))
    assert len(kinds) > 1
    found = answer.map("semantic", Thresholds(0.0, 0.0), full=full)
    assert np.array_equal(found.ids, prediction.semantic + 1)


def test_what_no_threshold_changes_is_prepared(session):
    key = session.predict(noise((40, 40)), "a")["id"]
    answer = session.answers[key]
    assert answer.competition.joined == 0
    while session.prepare():
        pass
    assert answer.competition.joined == len(answer.competition.queries) > 0
    assert "shown_semantic" in vars(answer)
    assert session.prepare() is False


def test_old_answers_are_dropped_for_new_ones():
    limits = Limits(kept=3)
    session = make_quarters(4, limits)
    keys = [session.predict(encoded("PNG"), "a")["id"] for _ in range(3)]
    session.query(keys[0], 3)  # which makes it the newest
    keys.append(session.predict(encoded("PNG"), "a")["id"])
    assert list(session.answers) == [keys[2], keys[0], keys[3]]
    assert all(key.startswith("4-") and len(key) > 20 for key in keys)
    with pytest.raises(Refused, match="send it again"):
        session.query(keys[1], 3)


def test_memory_is_bounded_but_for_the_newest_answer():
    session = make_quarters(0, Limits(kept_bytes=1))
    for _ in range(3):
        key = session.predict(encoded("PNG"), "a")["id"]
        assert list(session.answers) == [key]
    one = session.answers[key].nbytes
    assert one > 4 * 10 * 8 * 16  # the masks alone
    session.limits = Limits(kept_bytes=2 * one)
    for _ in range(5):
        session.predict(encoded("PNG"), "a")
    assert len(session.answers) == 2


def test_pixels_are_not_kept():
    session = make_quarters(0, Limits())
    key = session.predict(encoded("PNG"), "a")["id"]
    image = session.answers[key].prediction.image
    assert image.shape == (30, 40, 3)
    assert image.strides == (0, 0, 0)


def test_masks_of_a_mirrored_view_are_mirrored_back():
    session = make_quarters(0, Limits())
    key = session.predict(encoded("PNG", (64, 32)), "a")["id"]
    answer = session.answers[key]
    mask = np.frombuffer(session.query(key, 7), np.uint8).reshape(answer.grid)
    assert mask[0].tolist() == [0] * 8 + [255] * 8
    answer.view = replace(answer.view, flip=True)
    mask = np.frombuffer(session.query(key, 7), np.uint8).reshape(answer.grid)
    assert mask[0].tolist() == [255] * 8 + [0] * 8


class Centers(Quarters):
    """Panoptic-DeepLab's kind of answer: sky, a car on the left and one on the right."""

    def __init__(self):
        super().__init__()
        self.model.decode_head = SimpleNamespace(
            fusion=PixelProbabilityFusion(),
            merge=lambda views: views,
            panoptic_fusion=PanopticDeepLabFusion(META["isthing"], stuff_area=1),
        )

    def predict(self, frames):
        height, width = frames[0].image.shape[:2]
        size, logits = (4 * -(-height // 4), 4 * -(-width // 4)), torch.zeros(3, 8, 10)
        logits[0, :4] = logits[1, 4:] = 9.0
        maps = torch.zeros(3, 8, 10)
        for x, heat in ((2, 0.9), (7, 0.6)):  # which falls more slowly to one side: one pixel leads
            maps[0, 6, x], maps[0, 6, x + 1], maps[0, 7, x] = heat, heat / 2, heat / 2
        view = CenterView(logits, size, (height, width), False, maps)
        return [Prediction(frames[0].image, "a", self.model.decode_head, [view], META)]


@pytest.mark.parametrize("shown", [300, 5000])
def test_a_panoptic_model_without_queries(shown):
    """Its segments are shown; no threshold changes them, so the page has none to offer."""
    session = Session(0, "centers", Centers(), Limits(shown=shown))
    told = session.describe()
    assert (told["views"], told["panoptic_thresholds"]) == (["panoptic", "semantic"], [])
    key = session.predict(encoded("PNG", (40, 32)), "a")["id"]
    result = session.result(key, "panoptic", 0.99, 0.99)
    assert "object_threshold" not in result
    height, width = session.answers[key].size
    found = [(s["class"], s["isthing"], s["area"]) for s in result["segments"]]
    half = height * width // 2
    assert [one[:2] for one in found] == [("car", True), ("car", True), ("sky", False)]
    assert found[2][2] == half
    assert found[0][2] + found[1][2] == half
    assert [s["score"] for s in result["segments"]] == pytest.approx([0.9, 0.6, 1.0], abs=0.2)
    answer = session.answers[key]
    for _ in range(2):  # the first map is as the next ones
        small = answer.map("panoptic", Thresholds(0.5, 0.5))
        assert small.ids.shape == answer.shown_size
        assert [entry["class"] for entry in small.entries] == ["car", "car", "sky"]
    assert answer.nbytes == 2 * small.ids.size + 4 * 3 * 8 * 10
    with pytest.raises(Refused, match="no view 'queries'; wanted panoptic or semantic"):
        session.map(key, "queries", 0.5, 0.5, False)


class Labels(Quarters):
    """A model of another package, which has labels only."""

    def predict(self, frames):
        labels = np.zeros(frames[0].image.shape[:2], np.int64)
        labels[:, 7:] = 2
        return [Prediction(frames[0].image, "a", SimpleNamespace(), [], META, labels)]


def test_a_model_without_queries():
    predictor = Labels()
    predictor.model.decode_head = SimpleNamespace()
    session = Session(0, "labels", predictor, Limits(shown=300))
    assert session.describe()["views"] == ["semantic"]
    key = session.predict(encoded("PNG"), "a")["id"]
    result = session.result(key, "semantic", 0.5, 0.5)
    assert [(s["class"], s["area"]) for s in result["segments"]] == [("sky", 210), ("tree", 990)]
    assert "object_threshold" not in result
    with pytest.raises(Refused, match="no view 'panoptic'; wanted semantic"):
        session.map(key, "panoptic", 0.5, 0.5, False)
    with pytest.raises(Refused, match="no query 0"):
        session.query(key, 0)
    assert session.prepare() is True
    assert session.prepare() is False


def test_scores_that_are_not_finite(monkeypatch):
    session = make_quarters(0, Limits())
    monkeypatch.setattr("tests.serve.sessions.quarters", lambda shape: broken(quarters(shape)))
    with pytest.raises(NonFiniteScoreError) as caught:
        session.predict(encoded("PNG"), "a")
    told = as_told(caught.value)
    assert (told.status, "NaN" in told.text) == (422, True)


def broken(view):
    view.mask_logits[0] = float("nan")
    return view


def test_a_fault_is_not_told_to_strangers(capsys):
    try:
        {}["/home/me/secret"]
    except KeyError as error:
        told = as_told(error)
    assert told.status == 500
    assert "secret" not in told.text
    assert "secret" in capsys.readouterr().err


def test_queries_that_compete_for_pixels_have_no_maps_of_their_own():
    """The page lets queries win as independent masks do, so it shows segments and classes only."""
    view = View(torch.full((2, 3), 1 / 3), torch.zeros(2, 4, 4), (16, 16), (16, 16))
    pairs = ((SlotFusion(), SlotPanopticFusion), (SemanticFusion(), PanopticFusion))
    found = []
    for fusion, panoptic in pairs:
        head = SimpleNamespace(fusion=fusion, panoptic_fusion=panoptic((True, False)))
        image, meta = np.zeros((16, 16, 3), np.uint8), dict(classes=("a", "b"), palette=None)
        found.append(available_views(Prediction(image, "a.jpg", head, [view], meta)))
    assert found == [["panoptic", "semantic"], ["panoptic", "semantic", "queries"]]
