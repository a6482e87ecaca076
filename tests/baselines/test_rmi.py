"""The RMI loss against its definition, written out window by window."""

import numpy as np
import pytest
import torch

from mmmaskformer.baselines.rmi import RMILoss

IGNORED = 255


def pooled(maps):
    """Means of 4x4, zeros of a border of two among them; from (H, W)."""
    height, width = maps.shape
    padded = np.zeros((height + 4, width + 4))
    padded[2:-2, 2:-2] = maps
    return np.array(
        [
            [padded[y : y + 4, x : x + 4].mean() for x in range(0, width + 1, 4)]
            for y in range(0, height + 1, 4)
        ]
    )


def window_table(maps):
    """One row of each of the nine places of a 3x3 window, less its mean; (9, N)."""
    small = pooled(maps)
    height, width = small.shape
    rows = [
        [small[y + dy, x + dx] for y in range(height - 2) for x in range(width - 2)]
        for dy in range(3)
        for dx in range(3)
    ]
    table = np.array(rows)
    return table - table.mean(1, keepdims=True)


def slow_loss(logits, labels, share):
    """The loss of (B, C, H, W) and (B, H, W), in double precision."""
    batch, classes = logits.shape[:2]
    entropy, bound = 0.0, 0.0
    identity = 5e-4 * np.eye(9)
    for image in range(batch):
        valid = labels[image] != IGNORED
        for c in range(classes):
            truth = (labels[image] == c).astype(float)
            prob = 1 / (1 + np.exp(-logits[image, c]))
            entropy -= np.log(np.where(truth == 1, prob, 1 - prob))[valid].sum()
            known, seen = window_table(truth), window_table(prob * valid + 1e-6)
            a, b, cross = known @ known.T, seen @ seen.T, known @ seen.T
            unknown = a - cross @ np.linalg.inv(b + identity) @ cross.T + identity
            factor = np.linalg.cholesky(unknown)
            bound += 0.5 * 2 * np.log(np.diag(factor) + 1e-8).sum() / 9 / batch
    entropy /= (labels != IGNORED).sum() + 1
    return (1 - share) * entropy + share * bound


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 4, 5)).repeat(4, 1).repeat(4, 2)[:, :14, :19]
    labels[0, :5, :7] = IGNORED
    logits = 2 * rng.normal(size=(2, 4, 14, 19)).astype(np.float32)  # the last class is absent
    return logits, labels


@pytest.mark.parametrize("share", [0.5, 0, 1, 0.25])
def test_value_and_gradient_are_those_of_the_definition(case, share):
    logits, labels = case
    leaf = torch.from_numpy(logits).requires_grad_()
    loss = RMILoss(bound_share=share, loss_weight=2)(leaf, torch.from_numpy(labels))
    assert loss.item() == pytest.approx(2 * slow_loss(logits, labels, share), rel=1e-5)
    loss.backward()
    largest = leaf.grad.abs().max().item()
    for place in [(0, 0, 2, 3), (0, 1, 9, 11), (1, 2, 13, 18), (1, 3, 0, 0), (1, 0, 6, 6)]:
        sides = []
        for step in (1e-4, -1e-4):
            moved = logits.astype(np.float64)
            moved[place] += step
            sides.append(slow_loss(moved, labels, share))
        expected = 2 * (sides[0] - sides[1]) / 2e-4
        assert leaf.grad[place].item() == pytest.approx(expected, abs=1e-5 * largest)


def test_it_is_precise_where_the_prediction_is_right(case):
    """Little is unknown then: in single precision it would be lost in rounding."""
    _, labels = case
    labels = labels.repeat(3, 1).repeat(3, 2)
    truth = (labels[:, None] == np.arange(4)[:, None, None]).astype(np.float32)
    logits = (12 * truth - 6 + np.random.default_rng(1).normal(size=truth.shape)).astype(np.float32)
    found = RMILoss(bound_share=1)(torch.from_numpy(logits), torch.from_numpy(labels))
    assert found.item() == pytest.approx(slow_loss(logits, labels, 1), rel=1e-5)


def test_nothing_labelled_has_no_gradient():
    leaf = torch.randn(2, 3, 16, 16, requires_grad=True)
    loss = RMILoss()(leaf, torch.full((2, 16, 16), IGNORED))
    loss.backward()
    assert loss.isfinite()
    assert not leaf.grad.any()


def test_the_ignored_label_is_the_head_s(case):
    logits, labels = (torch.from_numpy(one) for one in case)
    moved = torch.where(labels == IGNORED, 65, labels)
    assert torch.equal(RMILoss()(logits, labels), RMILoss()(logits, moved, ignore_index=65))


def test_nan_stays_nan(case):
    """An error of a decomposition would hide that the training has diverged."""
    logits, labels = (torch.from_numpy(one) for one in case)
    logits[0, 0, 0, 8] = float("nan")
    assert RMILoss()(logits, labels).isnan()


def test_bad_input():
    loss, labels = RMILoss(), torch.zeros(1, 7, 32, dtype=torch.long)
    with pytest.raises(ValueError, match=r"RMILoss needs images of at least 8x8, got \(7, 32\)"):
        loss(torch.zeros(1, 2, 7, 32), labels)
    with pytest.raises(ValueError, match="RMILoss takes no weights of pixels"):
        loss(torch.zeros(1, 2, 7, 32), labels, torch.ones(1, 7, 32))
    for label in (2, 7, -1):
        wrong = torch.full((1, 8, 8), IGNORED)
        wrong[0, 3, 3] = label
        match = rf"labels below their number or 255, got 2 classes, and labels \[{label}\]"
        with pytest.raises(ValueError, match=match):
            loss(torch.zeros(1, 2, 8, 8), wrong)
    with pytest.raises(ValueError, match="RMILoss needs 2 classes or more, .* got 1 classes"):
        loss(torch.zeros(1, 1, 8, 8), labels.new_zeros(1, 8, 8))
    with pytest.raises(ValueError, match=r"bound_share must be in \[0, 1\], got 2"):
        RMILoss(bound_share=2)
    assert loss(torch.zeros(1, 2, 8, 8), labels.new_zeros(1, 8, 8)).isfinite()


@pytest.mark.data
def test_published_numbers(shared):
    path = shared / "baselines" / "reference" / "hmsa_rmi.npz"
    if not path.exists():
        pytest.skip("needs hmsa_rmi.npz of the reference numbers")
    made = np.load(path)
    leaf = torch.from_numpy(made["logits"]).requires_grad_()
    labels = torch.from_numpy(made["labels"]).long()
    loss = RMILoss()(leaf, labels)
    assert loss.item() == pytest.approx(float(made["loss_rmi"]), rel=1e-5)
    assert RMILoss(bound_share=0)(leaf, labels).item() == pytest.approx(
        float(made["loss_bce"]), rel=1e-5
    )
    loss.backward()
    grad = torch.from_numpy(made["grad"])
    assert (leaf.grad - grad).abs().max() <= 1e-5 * grad.abs().max()
