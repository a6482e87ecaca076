"""When the kernels are used, and that they work: `triton_kernels` has the tests of those."""

import importlib.util
import os
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mmmaskformer.core import MaskFormerCriterion, kernels
from mmmaskformer.core.losses import DiceLoss, FocalLoss
from mmmaskformer.core.mask_loss import chunked_mask_loss, eager_mask_loss
from tests.core.test_losses import Squared, problem

MODULE = "mmmaskformer.core.kernels.triton_mask_loss"
PAIR = FocalLoss(), DiceLoss()
TRITON = importlib.util.find_spec("triton")
needs_triton = pytest.mark.skipif(
    TRITON is None or not Path(TRITON.origin).with_name("backends").is_dir(),
    reason="triton 3 is not installed",  # the interpreter of 2.3 can not run the kernels
)


@needs_triton
def test_kernels():
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", Path(__file__).with_name("triton_kernels.py")],
        env={**os.environ, "TRITON_INTERPRET": str(int(not torch.cuda.is_available()))},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mmmaskformer.core.kernels.triton_mask_loss import SIZES, _grad_kernel, _sums_kernel

constants = dict(OWN=4, SPAN=8, ALPHA=0.25, GAMMA=1.5, BLOCK=256)
types = dict(image="*i64", segment="*i64", maps="*i32", **dict.fromkeys(SIZES, "i32"))
types.update(logits="*bf16", grads="*bf16", **dict.fromkeys(constants, "constexpr"))
for kernel in (_sums_kernel, _grad_kernel):
    signature = {name: types.get(name, "*fp32") for name in kernel.arg_names}
    values = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature, values)
    print(len(triton.compile(source, target=GPUTarget("cuda", 80, 32)).asm["cubin"]))
"""


@needs_triton
def test_kernels_compile_without_a_gpu():
    """The interpreter lets pass what the compiler may not."""
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    run = subprocess.run(
        [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert all(int(size) > 1000 for size in run.stdout.split())


def on_gpu(*shape):
    return SimpleNamespace(shape=torch.Size(shape), is_cuda=True, device=torch.device("cuda:0"))


@pytest.mark.parametrize("size", [(7, 10), (14, 20), (28, 41), (25, 37), (14, 40)])
def test_larger_images_fit(size):
    assert kernels.fits(size, (7, 10))
    assert not kernels.fits(size, (7, size[1] + 1))


@pytest.mark.parametrize("size", [(6, 40), (28, 9), (3, 5)])
def test_smaller_images_do_not_fit(size):
    assert not kernels.fits(size, (7, 10))


def test_images_whose_numbers_do_not_fit_into_32_bits():
    # The last pixel of 46340x46340 has a number below 2^31; 4 h H is, up to 46336.
    assert kernels.fits((46336, 46336), (11584, 11584))
    assert not kernels.fits((46344, 46344), (11586, 11586))
    assert not kernels.fits((1 << 16, 4), (1 << 14, 1))


class Mine(FocalLoss):
    pass


OTHERS = [PAIR[::-1], PAIR[:1], (*PAIR, Squared()), (Mine(), DiceLoss())]


def test_what_the_kernels_know():
    assert kernels.knows(on_gpu(2, 7, 10), list(PAIR))
    assert not kernels.knows(torch.zeros(2, 7, 10), PAIR)
    assert not any(kernels.knows(on_gpu(2, 7, 10), losses) for losses in OTHERS)


def fused(*inputs):
    raise AssertionError("not to be called here")


@pytest.mark.parametrize(
    ("kernel", "logits", "size", "losses", "chosen"),
    [
        ("auto", on_gpu(2, 7, 10), (28, 40), PAIR, True),
        ("triton", on_gpu(2, 7, 10), (28, 40), PAIR, True),
        ("eager", on_gpu(2, 7, 10), (28, 40), PAIR, False),
        ("auto", on_gpu(2, 7, 10), (25, 41), PAIR, True),
        ("auto", on_gpu(2, 7, 10), (6, 40), PAIR, False),
        ("triton", on_gpu(2, 7, 10), (6, 40), PAIR, False),
        ("auto", torch.zeros(2, 7, 10), (28, 40), PAIR, False),
        ("auto", on_gpu(2, 7, 10), (28, 40), OTHERS[0], False),
    ],
)
def test_one_setting_chooses(kernel, logits, size, losses, chosen, monkeypatch):
    monkeypatch.setattr(kernels, "_checked_triton", lambda device: (fused, ""))
    found = kernels.choose(kernel, logits, torch.zeros(1, *size), losses)
    assert found is (fused if chosen else None)


def test_triton_that_is_asked_for_and_can_not_be_had(monkeypatch):
    maps = torch.zeros(1, 28, 40)
    with pytest.raises(ValueError, match="not FocalLoss, DiceLoss on cpu; set mask_loss_kernel="):
        kernels.choose("triton", torch.zeros(2, 7, 10), maps, PAIR)
    with pytest.raises(ValueError, match="not DiceLoss, FocalLoss on cuda:0"):
        kernels.choose("triton", on_gpu(2, 7, 10), maps, OTHERS[0])
    monkeypatch.setattr(kernels, "_checked_triton", lambda device: (None, "no C compiler"))
    with pytest.raises(RuntimeError, match="'triton' can not be used: no C compiler"):
        kernels.choose("triton", on_gpu(2, 7, 10), maps, PAIR)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match="one of auto, eager, triton, got 'compile'"):
        MaskFormerCriterion(mask_loss_kernel="compile")


@pytest.fixture
def untried():
    kernels._checked_triton.cache_clear()
    yield
    kernels._checked_triton.cache_clear()


@pytest.mark.usefixtures("untried")
def test_eager_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    inputs = problem((4, 5), (16, 20))
    expected = chunked_mask_loss(*inputs, PAIR)
    monkeypatch.setattr(kernels, "knows", lambda *args: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.equal(chunked_mask_loss(*inputs, PAIR), expected)


@pytest.mark.usefixtures("untried")
@pytest.mark.parametrize("fault", [None, "no compiler", "value", "gradient"])
def test_triton_is_tried_once_against_the_slower_way(fault, monkeypatch):
    sizes = []

    def fake(*inputs):
        sizes.append(len(inputs[0]))
        if fault == "no compiler":
            raise RuntimeError("Failed to find C compiler")
        values = eager_mask_loss(*inputs)
        if fault == "value":
            return values + 1e-2
        return values * (1.01 if fault == "gradient" else 1.0) + 0.0

    if fault == "gradient":
        real = fake

        def fake(*inputs):
            return real(*inputs) - 0.01 * real(*inputs).detach() / 1.01

    monkeypatch.setitem(sys.modules, MODULE, SimpleNamespace(triton_mask_loss=fake))
    inputs = problem((4, 5), (16, 20))
    expected = chunked_mask_loss(*inputs, PAIR)
    monkeypatch.setattr(kernels, "knows", lambda *args: True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = [chunked_mask_loss(*inputs, PAIR) for _ in range(2)]
    assert (11 in sizes) == (fault is None)
    assert sizes.count(5) in ((1,) if fault != "gradient" else (2,))
    for result in results:
        torch.testing.assert_close(result, expected)
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == (fault is not None)
    assert all("mask_loss_kernel='eager'" in text for text in texts)


@pytest.mark.usefixtures("untried")
def test_want_of_memory_says_nothing_about_the_kernels(monkeypatch):
    left = [torch.cuda.OutOfMemoryError("CUDA out of memory")]

    def fake(*inputs):
        if left:
            raise left.pop()
        return eager_mask_loss(*inputs)

    monkeypatch.setitem(sys.modules, MODULE, SimpleNamespace(triton_mask_loss=fake))
    device = torch.device("cpu")
    with pytest.raises(torch.cuda.OutOfMemoryError):
        kernels._checked_triton(device)
    assert kernels._checked_triton(device) == (fake, "")
