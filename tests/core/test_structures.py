import ast
from pathlib import Path

import pytest
import torch

from mmmaskformer import core


def test_sizes_are_read_off_the_factors():
    output = core.FactoredOutput(
        torch.randn(2, 3, 4, 6), torch.randn(2, 3, 4, 5), torch.randn(3, 5, 7, 8)
    )
    assert (output.num_layers, output.batch_size, output.num_classes) == (2, 3, 5)
    assert output.pixels.shape == (3, 5, 7, 8)
    convolved = core.PixelFeatures(torch.zeros(3, 9, 7, 8), torch.zeros(5, 9, 3, 3))
    assert convolved.shape == (3, 5, 7, 8)


@pytest.mark.parametrize("shape", [(2, 3, 4, 9), (2, 3, 5, 5), (3, 4, 5)])
def test_factors_that_do_not_fit_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected class_logits \(L, B, Q, C \+ 1\)"):
        core.FactoredOutput(torch.zeros(2, 3, 4, 6), torch.zeros(shape), torch.zeros(3, 5, 7, 8))


def test_targets_name_their_image_when_refused():
    with pytest.raises(ValueError, match="street.png: expected labels"):
        core.SegmentTargets(torch.zeros(2, 2), torch.zeros(4, 4), "street.png")


def test_segment_masks():
    segment_map = torch.tensor([[0, 1, core.NO_SEGMENT]])
    masks = core.SegmentTargets(torch.tensor([3, 5, 5]), segment_map).masks()
    assert masks.tolist() == [[[True, False, False]], [[False, True, False]], [[False] * 3]]


def test_core_imports_torch_and_scipy_only():
    """And triton, in the one file that nobody imports where triton is missing."""
    standard = {
        "__future__",
        "collections",
        "dataclasses",
        "fractions",
        "functools",
        "itertools",
        "math",
        "typing",
    }
    standard |= {"copy", "numbers", "warnings"}
    for path in Path(core.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            allowed = {"torch", "triton" if path.name == "triton_mask_loss.py" else "scipy"}
            assert {name.split(".")[0] for name in names} <= standard | allowed, path


def test_only_memory_that_goes_to_a_gpu_is_pinned(monkeypatch):
    calls, target = [], core.SegmentTargets(torch.zeros(1).long(), torch.zeros(2, 2).int())
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda part: calls.append("pinned") or part)

    def to(part, device, non_blocking=False):
        calls.append((torch.device(device).type, non_blocking))
        return part

    monkeypatch.setattr(torch.Tensor, "to", to)
    target.to(torch.device("cpu"))
    assert calls == [("cpu", True)] * 2
    calls.clear()
    target.to(torch.device("cuda:0"))
    assert calls == ["pinned", ("cuda", True)] * 2
