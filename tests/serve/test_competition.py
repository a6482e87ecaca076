import numpy as np
import pytest
import torch

from mmmaskformer.core.panoptic_fusion import PanopticFusion
from mmmaskformer.core.views import View, output_maps
from mmmaskformer.serve import competition
from mmmaskformer.serve.competition import Competition

ISTHING = [True, False, False, True, False]


def random_view(seed, queries=30, flip=False):
    random = torch.Generator().manual_seed(seed)
    class_prob = (3 * torch.randn(queries, len(ISTHING) + 1, generator=random)).softmax(-1)
    coarse = 12 * torch.randn(1, queries, 4, 5, generator=random)
    masks = torch.nn.functional.interpolate(coarse, size=(16, 24), mode="bilinear")[0] - 3
    return View(class_prob, masks, (64, 96), (61, 90), flip)


def winners(view, size, threshold):
    """A plain loop over all pixels: the query that wins each, -1 without one."""
    prob = output_maps(view, size, slice(0, size[0])).sigmoid().numpy()
    scores, labels = (part.numpy() for part in view.class_prob.max(-1))
    admitted = [q for q in range(len(scores)) if labels[q] < len(ISTHING) and scores[q] > threshold]
    found = np.full(size, -1)
    for y, x in np.ndindex(*size):
        values = [prob[q, y, x] * scores[q] for q in admitted]
        if admitted:
            found[y, x] = admitted[int(np.argmax(values))]
    return found


@pytest.mark.parametrize("threshold", [0.0, 0.45, 0.7, 0.99])
def test_the_winners_are_those_of_a_plain_loop(threshold):
    view, size = random_view(0), (23, 31)
    found = Competition(view, size)
    owners = found.owners(found.count(threshold))
    queries = np.append(found.queries, -1)[owners]
    assert np.array_equal(queries, winners(view, size, threshold))


@pytest.mark.parametrize("seed", range(2))
def test_panoptic_is_that_of_the_fusion_for_thresholds_in_any_order(seed):
    view, size = random_view(seed, flip=seed % 2 == 1), (47, 71)
    found = Competition(view, size)
    seen = set()
    # One of them is a score to the bit: that query is left out.
    for object_threshold in (0.8, 1.0, 0.0, float(found.scores[9])):
        for overlap_threshold in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
            fusion = PanopticFusion(
                ISTHING, object_threshold=object_threshold, overlap_threshold=overlap_threshold
            )
            wanted = fusion(view, size)
            # The fusion that is given lends its flags, not its thresholds.
            ids, segments = found.panoptic(
                PanopticFusion(ISTHING), object_threshold, overlap_threshold
            )
            assert np.array_equal(ids, wanted.ids.numpy())
            assert segments == wanted.segments_info
            seen.add(len(segments))
    assert len(seen) > 2


def test_of_equal_queries_the_first_wins():
    """Saturated masks of queries of one score, in an order that sorting could change."""
    view = random_view(5, queries=6)
    class_prob = torch.zeros(6, 6)
    class_prob[:, -1] = 1 - 0.9
    class_prob[range(6), [1, 0, 3, 2, 4, 0]] = 0.9
    view = View(class_prob, torch.full_like(view.mask_logits, 60.0), (64, 96), (61, 90))
    found = Competition(view, (9, 11))
    assert set(found.queries[found.owners(6)].ravel()) == {0}
    # Masks of probability 0: nobody is better than anybody, and the first query wins, too, though
    # the surest one joins first.
    class_prob[4, 4], class_prob[4, -1] = 0.95, 0.05
    view = View(class_prob, torch.full_like(view.mask_logits, -200.0), (64, 96), (61, 90))
    found = Competition(view, (9, 11))
    assert found.queries[0] == 4
    assert set(found.queries[found.owners(6)].ravel()) == {0}
    wanted = PanopticFusion(ISTHING, object_threshold=0.5, overlap_threshold=0)(view, (9, 11))
    assert np.array_equal(found.panoptic(PanopticFusion(ISTHING), 0.5, 0.0)[0], wanted.ids)


def test_queries_join_in_steps_and_masks_are_resized_once(monkeypatch):
    resized = []

    def counting(view, size, rows):
        resized.append(len(view.mask_logits))
        return output_maps(view, size, rows)

    monkeypatch.setattr(competition, "output_maps", counting)
    view = random_view(2)
    found = Competition(view, (23, 31))
    assert resized == []
    assert found.extend(1) is True
    assert resized == [competition.STEP]
    assert found.extend(competition.STEP) is False
    objects = int((view.class_prob.argmax(-1) < len(ISTHING)).sum())
    assert found.extend(10**6) is True
    assert sum(resized) == objects == len(found.queries)
    before = list(resized)
    for threshold in np.linspace(0, 1, 21):
        found.panoptic(PanopticFusion(ISTHING), threshold, 0.5)
    assert resized == before


def test_no_query_of_an_object():
    view = random_view(1)
    class_prob = torch.zeros_like(view.class_prob)
    class_prob[:, -1] = 1
    found = Competition(View(class_prob, view.mask_logits, (64, 96), (61, 90)), (7, 9))
    ids, segments = found.panoptic(PanopticFusion(ISTHING), 0.0, 0.0)
    assert ids.shape == (7, 9)
    assert not ids.any()
    assert segments == []
