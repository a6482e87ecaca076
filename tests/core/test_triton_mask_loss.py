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

from mmmaskformer.core import mask_loss
from mmmaskformer.core.losses import DiceLoss, FocalLoss
from mmmaskformer.core.mask_loss import chunked_mask_loss, fits_triton
from tests.core.test_losses import Squared, problem

MODULE = "mmmaskformer.core.triton_mask_loss"
PAIR = FocalLoss(), DiceLoss()
needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
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
from mmmaskformer.core.triton_mask_loss import _grad_kernel, _sums_kernel

constants = dict(SCALE=4, ALPHA=0.25, GAMMA=1.5, BLOCK=256)
types = dict(height="i32", width="i32", image="*i64", segment="*i64", maps="*i32")
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
    return SimpleNamespace(shape=torch.Size(shape), is_cuda=True)


@pytest.mark.parametrize("size", [(7, 10), (14, 20), (21, 30), (28, 40), (56, 80)])
def test_integer_scales_fit(size):
    assert fits_triton(on_gpu(2, 7, 10), torch.zeros(1, *size), PAIR)


def test_what_does_not_fit(monkeypatch):
    logits, maps = on_gpu(2, 7, 10), torch.zeros(1, 28, 40)
    assert fits_triton(logits, maps, list(PAIR))
    assert not fits_triton(torch.zeros(2, 7, 10), maps, PAIR)
    for size in [(28, 41), (29, 40), (28, 20), (14, 40), (3, 5)]:
        assert not fits_triton(logits, torch.zeros(1, *size), PAIR)

    class Mine(FocalLoss):
        pass

    for losses in [PAIR[::-1], PAIR[:1], (*PAIR, Squared()), (Mine(), DiceLoss())]:
        assert not fits_triton(logits, maps, losses)
    monkeypatch.setenv("MMMASKFORMER_TRITON", "0")
    assert not fits_triton(logits, maps, PAIR)
    monkeypatch.setenv("MMMASKFORMER_TRITON", "1")
    assert fits_triton(logits, maps, PAIR)


@pytest.fixture
def untried():
    mask_loss._triton_mask_loss.cache_clear()
    yield
    mask_loss._triton_mask_loss.cache_clear()


@pytest.mark.usefixtures("untried")
def test_eager_without_triton(monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    inputs = problem((4, 5), (16, 20))
    expected = chunked_mask_loss(*inputs, PAIR)
    monkeypatch.setattr(mask_loss, "fits_triton", lambda *args: True)
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
        values = mask_loss.eager_mask_loss(*inputs)
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
    monkeypatch.setattr(mask_loss, "fits_triton", lambda *args: True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = [chunked_mask_loss(*inputs, PAIR) for _ in range(2)]
    assert (11 in sizes) == (fault is None)
    assert sizes.count(5) in ((1,) if fault != "gradient" else (2,))
    for result in results:
        torch.testing.assert_close(result, expected)
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == (fault is not None)
    assert all("MMMASKFORMER_TRITON=0" in text for text in texts)
