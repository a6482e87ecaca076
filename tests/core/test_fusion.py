import pytest
import torch
from torch.nn import functional as F

from mmmaskformer.core import GeneralFusion, PerPixelFusion, SemanticFusion, fusion
from mmmaskformer.core.views import PixelView, View


def make_view(grid=(9, 11), content=(33, 40), flip=False):
    return View(
        torch.rand(6, 5), 4 * torch.randn(6, *grid), (4 * grid[0], 4 * grid[1]), content, flip
    )


def scores_at_once(views, size):
    """The definition, everything at full size."""
    total = 0
    for view in views:
        full = F.interpolate(
            view.mask_logits[None], view.input_size, mode="bilinear", align_corners=False
        )[0]
        scores = torch.einsum("qc,qhw->chw", view.class_prob[:, :-1], full.sigmoid())
        scores = scores[:, : view.content_size[0], : view.content_size[1]]
        if view.flip:
            scores = scores.flip(-1)
        total = total + F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]
    return total / len(views)


@pytest.mark.parametrize("size", [(50, 71), (33, 40), (20, 25), (33, 90), (1, 1), (100, 40)])
@pytest.mark.parametrize("band", [1, 1000, 1 << 24])
def test_bands_equal_the_definition(size, band, monkeypatch):
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", band)
    views = [make_view(), make_view((13, 7), (50, 28), flip=True)]
    for chosen in (views[:1], views[1:], views):
        expected = scores_at_once(chosen, size)
        scores = SemanticFusion().scores(chosen, size)
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
        labels = SemanticFusion().labels(chosen, size)
        assert torch.equal(labels, scores.argmax(0))


def test_bands_share_the_scores_of_a_slab(monkeypatch):
    """Rows of the content are scored about once, though every band of one row reads two."""
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", 10 * 40 * 11)
    scored, semantic_scores = [], fusion.semantic_scores

    def counting(view, logits):
        scored.append(logits.shape[1])
        return semantic_scores(view, logits)

    monkeypatch.setattr(fusion, "semantic_scores", counting)
    SemanticFusion().labels([make_view()], (120, 90))
    assert len(scored) == 4
    assert sum(scored) <= 33 + 2 * 3


def test_slabs_leave_out_the_padding_and_each_other(monkeypatch):
    """No row of the padding is scored, and the last slab is gone when the next one is formed."""
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", 12 * 40 * 11)
    content_maps, semantic_scores = fusion.content_maps, fusion.semantic_scores
    stops, slabs, alive = [], [], []

    def watched_logits(view, rows):
        stops.append(rows.stop)
        return content_maps(view, rows)

    def watched_scores(view, logits):
        alive.append(sum(not torch.UntypedStorage._expired(slab) for slab in slabs))
        scores = semantic_scores(view, logits)
        slabs.append(scores.untyped_storage()._weak_ref())
        return scores

    monkeypatch.setattr(fusion, "content_maps", watched_logits)
    monkeypatch.setattr(fusion, "semantic_scores", watched_scores)
    SemanticFusion().labels([make_view()], (120, 90))
    assert stops[-1] == max(stops) == 33
    assert alive == [0, 0, 0]


@pytest.mark.parametrize("count", [1, 3])
def test_slabs_and_their_logits_fit_into_one_band(count, monkeypatch):
    """30 queries, one class: what is large are the logits."""
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", 18 * 40 * 32)
    content_maps, heights = fusion.content_maps, []

    def watched(view, rows):
        heights.append(rows.stop - rows.start)
        return content_maps(view, rows)

    monkeypatch.setattr(fusion, "content_maps", watched)
    view = View(torch.rand(30, 2), torch.randn(30, 9, 11), (36, 44), (33, 40))
    SemanticFusion().labels([view] * count, (120, 90))
    assert max(heights) == 18 // count


@pytest.mark.parametrize("height", [33, 20])
def test_a_caller_may_keep_a_band_without_a_slab(height, monkeypatch):
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", 12 * 40 * 11)
    for rows, band in SemanticFusion().bands([make_view()], (height, 40)):
        assert band.untyped_storage().nbytes() == 4 * 4 * (rows.stop - rows.start) * 40


@pytest.mark.parametrize("size", [(50, 71), (33, 40), (20, 25), (100, 40)])
@pytest.mark.parametrize("band", [1, 1 << 24])
@pytest.mark.parametrize("flip", [False, True])
def test_logits_resized_before_the_sigmoid(size, band, flip, monkeypatch):
    """What the original does with panoptic models: upsample, cut, resize, then sigmoid."""
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", band)
    view = make_view(flip=flip)
    full = F.interpolate(view.mask_logits[None], view.input_size, mode="bilinear")
    cut = full[..., : view.content_size[0], : view.content_size[1]]
    resized = F.interpolate(cut.flip(-1) if flip else cut, size, mode="bilinear")[0]
    expected = torch.einsum("qc,qhw->chw", view.class_prob[:, :-1], resized.sigmoid())
    scores = SemanticFusion(resize_logits=True).scores([view], size)
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
    if size != view.content_size:
        assert (scores - SemanticFusion().scores([view], size)).abs().max() > 1e-3


@pytest.mark.parametrize("size", [(50, 71), (33, 42), (20, 25)])
@pytest.mark.parametrize("band", [1, 1 << 24])
def test_per_pixel_logits(size, band, monkeypatch):
    """Upsampled by exactly 4, cut, resized, averaged; no softmax."""
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", band)
    logits, flipped = torch.randn(5, 9, 11), torch.randn(5, 7, 8)
    views = [
        PixelView(logits, (36, 44), (33, 42)),
        PixelView(flipped, (28, 32), (28, 30), flip=True),
    ]
    one = F.interpolate(logits[None], scale_factor=4, mode="bilinear")[..., :33, :42]
    two = F.interpolate(flipped[None], scale_factor=4, mode="bilinear")[..., :28, :30].flip(-1)
    maps = [F.interpolate(x, size, mode="bilinear")[0] for x in (one, two)]
    for chosen, expected in ((views[:1], maps[0]), (views, (maps[0] + maps[1]) / 2)):
        scores = PerPixelFusion().scores(chosen, size)
        torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(PerPixelFusion().labels(chosen, size), scores.argmax(0))


@pytest.mark.parametrize("size", [(50, 71), (33, 40)])
@pytest.mark.parametrize("band", [1, 1 << 24])
def test_general_inference_follows_the_paper(size, band, monkeypatch):
    """argmax over confident queries of class times mask probability, pixel by pixel."""
    monkeypatch.setitem(fusion.BAND_ELEMENTS, "cpu", band)
    view = make_view(flip=True)
    view.class_prob[:] = (3 * torch.randn(6, 5)).softmax(-1)
    view.class_prob[0] = torch.tensor([0.0, 0.1, 0.1, 0.1, 0.7])  # no object
    view.class_prob[1] = torch.tensor([0.3, 0.2, 0.2, 0.2, 0.1])  # not above the threshold
    view.class_prob[2] = torch.tensor([0.0, 0.9, 0.1, 0.0, 0.0])
    full = F.interpolate(view.mask_logits[None], view.input_size, mode="bilinear")
    cut = full[..., : view.content_size[0], : view.content_size[1]].flip(-1)
    prob = F.interpolate(cut, size, mode="bilinear")[0].sigmoid()
    labels = torch.zeros(size, dtype=torch.int64)
    for y in range(size[0]):
        for x in range(size[1]):
            best = -1.0
            for q in range(6):
                score, label = view.class_prob[q].max(0)
                if label != 4 and score > 0.3 and score * prob[q, y, x] > best:
                    best, labels[y, x] = score * prob[q, y, x], label
    result = GeneralFusion().labels([view], size)
    assert (result != labels).float().mean() < 1e-3
    assert len(labels.unique()) > 1
    assert not GeneralFusion(object_threshold=1.0).labels([view], size).any()


def test_scores_are_sums_over_queries_not_probabilities():
    view = View(torch.full((3, 3), 0.9), torch.full((3, 4, 4), 50.0), (16, 16), (16, 16))
    torch.testing.assert_close(
        SemanticFusion().scores([view], (16, 16)), torch.full((2, 16, 16), 2.7)
    )


def test_flip_of_a_padded_view_turns_the_image_not_the_padding():
    view = make_view((9, 11), (33, 40), flip=True)
    expected = scores_at_once([view], (33, 40))
    torch.testing.assert_close(SemanticFusion().scores([view], (33, 40)), expected)
    straight = View(view.class_prob, view.mask_logits, view.input_size, view.content_size)
    torch.testing.assert_close(SemanticFusion().scores([straight], (33, 40)).flip(-1), expected)


def test_scores_keep_their_precision_under_autocast():
    view = make_view()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = SemanticFusion().scores([view], (50, 71))
    assert torch.equal(scores, SemanticFusion().scores([view], (50, 71)))


def test_no_view():
    with pytest.raises(ValueError, match="at least one view"):
        SemanticFusion().labels([], (4, 4))
