import pytest
import torch
from torch.nn import functional as F

from mmmaskformer.core.fusion import View
from mmmaskformer.core.view_merging import match_queries, merge_views
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
