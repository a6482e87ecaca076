"""What is which stage, on small models: each implementation's own code is the oracle."""

import sys
from collections import Counter
from contextlib import contextmanager

import pytest
import torch

from benchmarks.kit import stage_wiring as wiring
from benchmarks.kit import stages
from tests.conftest import ROOT, import_transformers

pytestmark = pytest.mark.slow

LAYERS, BATCH = 6, 2


def settings(segments=3):
    return wiring.Settings(
        config=str(ROOT / "configs/maskformer_r50_ade20k.py"),
        depth=18,
        size=(64, 64),
        test_size=(64, 86),
        label_size=(96, 128),
        batch=BATCH,
        segments=segments,
        device="cpu",
    )


class CountingClock(stages.StageClock):
    """Counts how often a stage begins."""

    def __init__(self):
        super().__init__()
        self.begun = Counter()

    @contextmanager
    def stage(self, name):
        self.begun[name] += 1
        with super().stage(name):
            yield


@pytest.fixture(scope="module", params=wiring.PROBES)
def implementation(request):
    if request.param == "transformers":
        import_transformers()
    return request.param


@pytest.fixture(scope="module", params=wiring.STEPS)
def part(request):
    return request.param


@pytest.fixture(scope="module")
def turn(implementation, part):
    """The clock after a step, and the step."""
    clock, step = CountingClock(), wiring.STEPS[part](implementation, settings())
    with stages.instrumented(clock, step.probes), clock.step():
        step.run()
    return clock, step


def test_all_stages_are_there_and_add_up(turn, part):
    clock, _ = turn
    assert set(clock.spent) == {stages.REST, *wiring.STAGES[part]}
    assert min(clock.spent.values()) > 0
    assert sum(clock.spent.values()) == clock.whole
    summary = stages.summarize([stages.Turn(clock.spent, clock.whole, 1)], wiring.STAGES[part])
    assert list(summary["stages"]) == list(wiring.STAGES[part])
    assert summary["rest"] == pytest.approx(clock.spent[stages.REST] / 1e6, abs=1e-6)


CALLS = {
    # All layers and images at once.
    "ours": {
        **dict.fromkeys((wiring.COST, wiring.COPY, wiring.MASK_LOSSES, wiring.CLASS_LOSS), 1),
        wiring.MASK_LOGITS: 1,
        wiring.DECODER: 1,
    },
    # An image of a layer at a time; the grid of the costs is a call of its own.
    "mmseg": {
        wiring.COST: 2 * BATCH * LAYERS,
        wiring.COPY: BATCH * LAYERS,
        wiring.MASK_LOSSES: LAYERS,
        wiring.CLASS_LOSS: LAYERS,
        wiring.DECODER: 2,
    },
    # The decoder's input counts as a layer.
    "transformers": {
        wiring.COST: LAYERS + 1,
        wiring.COPY: BATCH * (LAYERS + 1),
        wiring.ASSIGNMENT: BATCH * (LAYERS + 1),
        wiring.MASK_LOSSES: LAYERS + 1,
        wiring.CLASS_LOSS: LAYERS + 1,
        wiring.DECODER: 3,
    },
}
"""How often the calls of a training step are made that differ; see `test_calls_are_counted`."""


def test_calls_are_counted(turn, part, implementation):
    """What is not one call, or goes on in a stage that another began, has no count of its own."""
    begun = dict(turn[0].begun)
    # In ours, the costs need the pixel embedding itself, too.
    several = implementation == "ours" and part == "training"
    assert (begun.pop(wiring.PIXEL_DECODER) > 1) == several
    calls = CALLS[implementation]
    if part == "inference":
        assert begun == {
            wiring.PREPROCESSING: 1,
            wiring.BACKBONE: 1,
            wiring.DECODER: calls[wiring.DECODER],
            wiring.FUSION: 1 if implementation == "transformers" else 2,
            **({wiring.MASK_LOGITS: 1} if implementation == "ours" else {}),
        }
        return
    once = (wiring.BACKBONE, wiring.TARGETS, wiring.BACK_LOSSES, wiring.CLIPPING)
    # The update and the zeroing of gradients.
    assert begun == {**dict.fromkeys(once, 1), wiring.OPTIMIZER: 2, **calls}


def test_nothing_stays_behind(turn):
    _, step = turn
    assert "cpu" not in vars(torch.Tensor)
    assert not any("timed" in repr(vars(probe.owner).get(probe.name)) for probe in step.probes)


BACK = {
    "ours": {
        "backbone": wiring.BACK_BACKBONE,
        "decode_head.predictor.pixel_decoder": wiring.BACK_PIXEL_DECODER,
        "decode_head": wiring.BACK_DECODER,
    },
    "mmseg": {
        "backbone": wiring.BACK_BACKBONE,
        "decode_head.pixel_decoder": wiring.BACK_PIXEL_DECODER,
        "decode_head": wiring.BACK_DECODER,
    },
    "transformers": {
        "network.model.pixel_level_module.encoder": wiring.BACK_BACKBONE,
        "network.model.pixel_level_module.decoder": wiring.BACK_PIXEL_DECODER,
        "network": wiring.BACK_DECODER,
    },
}
LAST_CONVOLUTION = "decode_head.predictor.pixel_decoder.mask_features"


@pytest.mark.parametrize("segments", [3, 30])
def test_gradients_of_parameters_come_in_their_stage(implementation, segments, monkeypatch):
    """Of few matched masks, ours folds the last convolution into the mask logits."""
    clock, found, built = stages.StageClock(), {}, {}
    probes_of = wiring.probes_of

    def catch(name, model, optimizer):
        built["model"] = model
        return probes_of(name, model, optimizer)

    monkeypatch.setattr(wiring, "probes_of", catch)
    step = wiring.training(implementation, settings(segments))
    expected = {}
    for name, parameter in built["model"].named_parameters():
        if parameter.requires_grad:
            parameter.register_post_accumulate_grad_hook(
                lambda _, name=name: found.update({name: clock.current})
            )
            prefixes = (p for p in BACK[implementation] if name.startswith(p))
            expected[name] = BACK[implementation][next(prefixes)]
            if name.startswith(LAST_CONVOLUTION) and segments == 3:
                expected[name] = wiring.BACK_LOSSES
    with stages.instrumented(clock, step.probes), clock.step():
        step.run()
    assert len(expected) > 100
    assert found == expected


def test_labels_are_those_without_clocks(implementation):
    step = wiring.inference(implementation, settings())

    def labels():
        torch.manual_seed(0)
        (result,) = step.run()
        return result if implementation == "transformers" else result.pred_sem_seg.data[0]

    plain, clock = labels(), stages.StageClock()
    with stages.instrumented(clock, step.probes), clock.step():
        clocked = labels()
    assert plain.shape == (96, 128)
    assert torch.equal(plain, clocked)


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ModuleNotFoundError, match="pip install 'transformers>=5'"):
        wiring.training("transformers", settings())
