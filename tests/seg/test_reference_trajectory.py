"""The original's first 25 training steps: schedules, losses, gradients and parameters."""

import pytest
import torch

from tests.conftest import SHARED
from tests.reference import FOLDER, load
from tests.seg.reference import converted, our_name
from tests.seg.trajectory import ONLY_NOISE, Record, Samples, config_of, train

CONFIGS = {
    "maskformer_R50_ade20k": "maskformer_r50_ade20k",
    "maskformer_swin_tiny_ade20k": "maskformer_swin-t_ade20k",
}
STEPS = 25
KEPT = (1, 5, 25)


@pytest.fixture(scope="module", params=CONFIGS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def reference(name):
    return load(f"trajectory/{name}")


@pytest.fixture(scope="module")
def photographs(name):
    """The images and labels that the original was trained on."""
    if (FOLDER / f"trajectory/{name}_photographs.pt.gz").is_file():
        return load(f"trajectory/{name}_photographs")
    path = SHARED / f"reference/trajectory/trajectory_{name}.pt"
    if not path.is_file():
        pytest.skip("needs the real photographs of ../shared")
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def checkpoint(reference, tmp_path_factory):
    return converted(tmp_path_factory.mktemp("seeded"), reference)


@pytest.fixture
def to_double(monkeypatch):
    """Turns a model and all that is computed after the call into double precision: what we
    compute in single precision on purpose, and what follows the default type."""

    def prepare(model):
        model.double()
        monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
        monkeypatch.setattr(torch, "float32", torch.float64)
        torch.set_default_dtype(torch.float64)

    before = torch.get_default_dtype()
    yield prepare
    torch.set_default_dtype(before)


@pytest.mark.parametrize("run", ["recipe_float32", "short_float64"])
def test_learning_rate_and_weight_decay_of_every_parameter(name, reference, run, tmp_path):
    """By the runner, which steps the schedulers; the model itself computes nothing here."""

    def without_training(model):
        model.train_step = lambda data, optim_wrapper: {"loss": torch.zeros(())}

    expected, record = reference[run], Record(STEPS)
    gray = torch.full((3, 32, 32), 128, dtype=torch.uint8)
    samples = Samples([gray] * 2, [gray[0]] * 2, reference)
    cfg = config_of(reference, CONFIGS[name], run)
    train(cfg, samples, record, tmp_path, prepare=without_training)
    parameters = [our_name(n) for n in reference["parameters"]]
    assert len(record.lr) == STEPS
    for step, found in enumerate(record.lr):
        for parameter, group in zip(
            parameters, expected["lr_group_of_parameter"].tolist(), strict=True
        ):
            wanted = expected["lr_of_groups"][group, step].item()
            assert found[parameter] == pytest.approx(wanted, rel=1e-9, abs=0), (step, parameter)
    decay = dict(zip(parameters, expected["weight_decay"].tolist(), strict=True))
    assert {n: record.weight_decay[n] for n in parameters} == decay


def run_all_steps(name, reference, photographs, run, folder, checkpoint, prepare=None):
    record = Record(STEPS, KEPT)
    samples = Samples(photographs["images_rgb_uint8"], photographs["labels_uint8"], reference)
    assert reference["meta"]["batches"] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    cfg = config_of(reference, CONFIGS[name], run)
    train(cfg, samples, record, folder, checkpoint, prepare)
    assert len(record.total) == STEPS
    return record


def relative(ours, expected):
    return abs(ours - expected) / abs(expected)


def worst_terms(record, expected):
    """The largest relative difference of a loss term, at each step."""
    names, worst = expected["loss_names"], []
    for found, row in zip(record.losses, expected["losses"].tolist(), strict=True):
        assert set(found) == set(names)
        worst.append(max(relative(found[n], value) for n, value in zip(names, row, strict=True)))
    return worst


def differences(ours, expected):
    return [relative(a, b) for a, b in zip(ours, expected.tolist(), strict=True)]


def check_update(record, reference, expected, step, tolerance):
    """How far each parameter went and where its kept entries are, within `tolerance` of the
    update's norm over all parameters."""
    kept, start, now = expected["after"][step], record.parameters[0], record.parameters[step]
    moved = kept["sum_l2_moved"][:, 2]
    limit = tolerance * moved.norm().item()
    names = [our_name(n) for n in reference["parameters"]]
    found = torch.tensor([(now[n] - start[n]).norm().item() for n in names], dtype=moved.dtype)
    assert (found - moved).norm().item() < limit
    for name, (index, values) in kept["entries"].items():
        entries = now[our_name(name)].flatten()[index]
        assert (entries - values).double().norm().item() < limit, name


def check_gradients(record, reference, expected, steps, tolerance):
    """Each parameter's gradient norm, relative to itself or to the largest of its step."""
    names = [our_name(n) for n in reference["parameters"]]
    for step in range(steps):
        row = dict(zip(names, expected["grad_norm_per_parameter"][step].tolist(), strict=True))
        largest = max(row.values())
        for name in set(names) - {ONLY_NOISE}:
            wanted = pytest.approx(row[name], rel=tolerance, abs=tolerance * 1e-3 * largest)
            assert record.grad_norms[step][name] == wanted, (step, name)


R50, SWIN = CONFIGS


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize("name", [R50, pytest.param(SWIN, marks=pytest.mark.long)], indirect=True)
def test_steps_in_double_precision(name, reference, photographs, checkpoint, to_double, tmp_path):
    expected = reference["short_float64"]
    record = run_all_steps(
        name, reference, photographs, "short_float64", tmp_path, checkpoint, to_double
    )
    assert max(differences(record.total, expected["total"])) < 1e-10
    assert max(worst_terms(record, expected)) < 1e-10
    assert max(differences(record.grad_norm, expected["grad_norm"])) < 1e-9
    # These norms are stored in single precision.
    check_gradients(record, reference, expected, STEPS, 1e-6)
    for step in KEPT:
        check_update(record, reference, expected, step, 1e-8)


@pytest.mark.slow
@pytest.mark.data
def test_steps_of_the_recipe(name, reference, photographs, checkpoint, tmp_path):
    """In single precision, with the recipe's optimizer and schedule as they are."""
    expected = reference["recipe_float32"]
    record = run_all_steps(name, reference, photographs, "recipe_float32", tmp_path, checkpoint)
    total = differences(record.total, expected["total"])
    terms = worst_terms(record, expected)
    grad_norm = differences(record.grad_norm, expected["grad_norm"])
    assert total[0] < 1e-6
    assert max(total[:3]) < 5e-6
    assert max(total[:5]) < 1e-3
    assert max(total) < 3e-2
    assert terms[0] < 5e-6
    assert max(terms[:3]) < 1e-4
    assert max(terms[:5]) < 1e-2
    assert grad_norm[0] < 1e-5
    assert max(grad_norm[:3]) < 1e-3
    check_update(record, reference, expected, 1, 1e-3)
