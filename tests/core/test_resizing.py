import pytest
import torch
from torch.nn import functional as F

from mmmaskformer.core.resizing import upsample, upsample_adjoint

CASES = [((8, 12), (32, 48)), ((8, 12), (16, 17)), ((8, 12), (8, 12)), ((1, 3), (4, 12))]


@pytest.mark.parametrize(("grid", "size"), CASES)
@pytest.mark.parametrize("given", [False, True])
def test_upsample_is_interpolate(grid, size, given):
    maps = torch.randn(3, *grid, dtype=torch.float64)
    out = maps.new_full((3, *size), torch.nan) if given else None
    found = upsample(maps, size, out)
    expected = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(found, expected)
    if given and size == (4 * grid[0], 4 * grid[1]):
        assert found.data_ptr() == out.data_ptr()


@pytest.mark.parametrize(("grid", "size"), CASES)
def test_upsample_adjoint_is_the_transposed_matrix(grid, size):
    unit = torch.eye(grid[0] * grid[1], dtype=torch.float64).view(-1, *grid)
    matrix = upsample(unit, size).flatten(1)
    grad = torch.randn(3, *size, dtype=torch.float64)
    expected = (grad.flatten(1) @ matrix.T).view(3, *grid)
    torch.testing.assert_close(upsample_adjoint(grad, grid), expected)
