import pytest
import torch
from torch.nn import functional as F

from mmmaskformer.core.view_merging import match_queries, merge_views
from mmmaskformer.core.views import View
from tests.core.test_panoptic_fusion import make_view


def test_one_view_stays_as_it_is():
    view = make_view()
    assert merge_views([view]) is view
    with pytest.raises(ValueError, match="at least one view"):
        merge_views([])


def test_permuted_queries_find_their_partners():
    view = make_view()
    order = torch.randperm(12)
    prob, masks = view.class_prob, view.mask_logits.sigmoid()
    found = match_queries(prob, masks, prob[order], masks[order])
    assert torch.equal(order[found], torch.arange(12))


def test_mean_of_matched_factors_on_the_first_views_content():
    first, order = make_view(), torch.randperm(12)
    noise = 0.1 * torch.randn(12, 12, 15)
    # The same picture mirrored, its queries in another order, without padding in the first.
    straight = View(first.class_prob, first.mask_logits, (48, 60), (48, 60))
    mirrored = View(
        first.class_prob[order] * 0.9,
        (first.mask_logits + noise).flip(-1)[order],
        (48, 60),
        (48, 60),
        True,
    )
    merged = merge_views([straight, mirrored])
    torch.testing.assert_close(merged.class_prob, first.class_prob * 0.95)
    # Up to stride 1 and down to 4 again, as any view goes through the input's size.
    up = F.interpolate((2 * first.mask_logits + noise)[None] / 2, (48, 60), mode="bilinear")
    expected = F.interpolate(up, (12, 15), mode="bilinear")[0]
    torch.testing.assert_close(merged.mask_logits, expected, rtol=1e-4, atol=1e-4)
    assert (merged.input_size, merged.content_size, merged.flip) == ((48, 60), (48, 60), False)


def test_other_sizes_and_padding():
    small = make_view()
    padded = F.pad(small.mask_logits, (0, 3, 0, 2), value=-9.0)
    large = View(small.class_prob, padded, (56, 72), (45, 57))
    merged = merge_views([small, large])
    assert merged.mask_logits.shape == (12, 12, 15)
    alone = merge_views([small, small])
    # Only at the border does the padding matter.
    torch.testing.assert_close(
        merged.mask_logits[:, :10, :13], alone.mask_logits[:, :10, :13], rtol=1e-3, atol=1e-3
    )


def test_classes_count_where_masks_are_alike():
    prob = torch.eye(4)[:, :4]
    masks = torch.rand(1, 6, 6).repeat(4, 1, 1)
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(order[match_queries(prob, masks, prob[order], masks)], torch.arange(4))


def test_masks_count_where_classes_are_alike():
    prob = torch.full((4, 4), 0.25)
    masks = (torch.rand(4, 3, 3) > 0.5).float()
    masks[:, 0, :] = torch.eye(4)[:, :3]
    order = torch.tensor([2, 0, 3, 1])
    assert torch.equal(order[match_queries(prob, masks, prob, masks[order])], torch.arange(4))


def test_every_view_is_matched_to_the_first():
    """The second one's masks agree with the first's and its classes do not; matched to the sum
    of both, the third would be turned round."""
    prob = torch.tensor([[0.6, 0.4, 0.0], [0.4, 0.6, 0.0]])
    halves = torch.full((2, 8, 8), -9.0)
    halves[0, :, :4] = halves[1, :, 4:] = 9.0
    contrary = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    views = [
        View(classes, masks, (32, 32), (32, 32))
        for classes, masks in ((prob, halves), (contrary, halves), (prob, torch.zeros(2, 8, 8)))
    ]
    merged = merge_views(views)
    torch.testing.assert_close(merged.class_prob, (prob + contrary + prob) / 3)


def test_large_masks_do_not_overflow_under_autocast():
    view = View(torch.rand(3, 5), torch.full((3, 200, 334), 5.0), (800, 1336), (800, 1333))
    with torch.autocast("cpu", torch.float16):
        merged = merge_views([view, view])
    assert merged.mask_logits.isfinite().all()
