"""The benchmark of the predictor: what is compared does the same work; a long video's memory."""

import argparse

import cv2
import numpy as np
import pytest
import torch

from benchmarks import predictor as benchmark
from benchmarks.kit.measure import in_fresh_process
from mmmaskformer import Predictor
from tests.inference.models import SEMANTIC


def test_all_that_is_timed_gives_the_same_answer(tmp_path):
    torch.manual_seed(0)
    image = benchmark.photograph((96, 128))
    path = str(tmp_path / "photograph.png")
    cv2.imwrite(path, image)
    functions = benchmark.prepare(Predictor(SEMANTIC, "random", device="cpu"), image, path)
    (view,) = functions["network"]()
    for name in ("Predictor, an array", "Predictor, a jpeg"):
        (other,) = functions[name]().views
        assert torch.equal(view.mask_logits, other.mask_logits)
        assert torch.equal(view.class_prob, other.class_prob)
    labels = functions["network, labels"]().numpy()
    assert np.array_equal(functions["Predictor, a jpeg, labels"](), labels)


def test_ratios_are_to_the_network_with_the_same_result(monkeypatch):
    times = {"network": 2.0, "network, labels": 4.0, "Predictor, an array": 3.0}
    times["Predictor, a jpeg, labels"] = 5.0
    monkeypatch.setattr(benchmark, "take_turns", lambda *_, **__: times)
    args = argparse.Namespace(model=SEMANTIC, size=(64, 64), repeats=1, warmup=0, device="cpu")
    ratios = {name: values["ratio"] for name, values in benchmark.overhead(args).items()}
    assert ratios == {
        "network": 1.0,
        "network, labels": 1.0,
        "Predictor, an array": 1.5,
        "Predictor, a jpeg, labels": 1.25,
    }


@pytest.mark.long
def test_a_long_video_takes_no_more_memory():
    found = in_fresh_process(benchmark.video_memory, 2000)
    assert found["2000"] < 1.05 * found["100"]
