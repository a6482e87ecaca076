"""What only a GPU can show: the numbers of a CPU, the waits, determinism, mixed precision."""

import copy
import math
import os
import warnings

import pytest
import torch
from torch import nn

from mmmaskformer.core import GeneralFusion, InstanceFusion, PanopticFusion, SemanticFusion, kernels
from mmmaskformer.core.losses import DiceLoss, FocalLoss
from mmmaskformer.engine.run_log import logged
from tests.commands import cold
from tests.core.test_panoptic_fusion import ISTHING, make_view
from tests.test_waits import STEPS

pytestmark = pytest.mark.gpu
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it once


@pytest.fixture(autouse=True)
def float32():
    """Convolutions and products in float32, as a CPU computes them."""
    flags = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = False
    yield
    for flag, allowed in zip(flags, before, strict=True):
        flag.allow_tf32 = allowed


def comparable(model):
    """Without dropout and with the norms' own statistics: those of two small images would make
    a difference of 1e-7 in the weights one of 1e-2 in some gradients, on a CPU, too."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        elif isinstance(getattr(module, "dropout", None), float):
            module.dropout = 0.0
        elif isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return model


def loss_and_gradients(model, data):
    batch = model.data_preprocessor(copy.deepcopy(data), training=True)
    loss, _ = model.parse_losses(model(**batch, mode="loss"))
    model.zero_grad()
    loss.backward()
    grads = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return loss.detach().cpu(), torch.cat(grads).cpu()


@pytest.mark.parametrize("name", STEPS)
def test_steps_equal_those_of_the_cpu(name):
    model, data = STEPS[name]()
    comparable(model)
    loss, grads = loss_and_gradients(model, data)
    found_loss, found_grads = loss_and_gradients(copy.deepcopy(model).cuda(), data)
    torch.testing.assert_close(found_loss, loss, rtol=1e-5, atol=0)
    assert (found_grads - grads).norm() < 1e-3 * grads.norm()


@pytest.mark.parametrize("name", STEPS)
def test_steps_have_the_same_bits_again(name):
    model, data = STEPS[name]()
    comparable(model).cuda()
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (loss_and_gradients(model, data) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("name", ["semantic", "panoptic", "mmdet"])
def test_a_forward_waits_once(name):
    model, data = STEPS[name]()
    model = model.cuda().train()
    batch = model.data_preprocessor(data, training=True)
    model(**batch, mode="loss")  # what is done once: the kernels are compiled and compared
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            model(**batch, mode="loss")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    waits = [f"{w.filename}:{w.lineno}" for w in seen if "synchroniz" in str(w.message)]
    assert len(waits) == 1, waits


def test_the_triton_kernels_are_chosen():
    logits, maps = torch.zeros(1, 4, 4).cuda(), torch.zeros(1, 15, 13, dtype=torch.int32).cuda()
    chosen = kernels.choose("auto", logits, maps, (FocalLoss(), DiceLoss()))
    assert chosen.__name__ == "triton_mask_loss", kernels._checked_triton(logits.device)


FUSIONS = {
    "semantic": lambda view: SemanticFusion().scores([view], (70, 90)),
    "general": lambda view: GeneralFusion(object_threshold=0.3).scores([view], (70, 90)),
    "labels": lambda view: SemanticFusion().labels([view], (70, 90)),
    "panoptic": lambda view: (
        PanopticFusion(ISTHING, object_threshold=0.1, overlap_threshold=0.1)(view, (70, 90)).ids
    ),
    "instance": lambda view: InstanceFusion(ISTHING)(view, (70, 90)).masks,
}


@pytest.mark.parametrize("name", FUSIONS)
def test_fusions_equal_those_of_the_cpu(name):
    view = make_view()
    there = type(view)(
        view.class_prob.cuda(), view.mask_logits.cuda(), *list(vars(view).values())[2:]
    )
    expected, found = FUSIONS[name](view), FUSIONS[name](there)
    assert found.is_cuda
    if expected.is_floating_point():
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)
    else:  # a tie may fall the other way
        assert (found.cpu() != expected).float().mean() < 1e-3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mixed_precision_trains(dtype, tmp_path):
    """Steps of the tool on generated images; in float16 the first ones only find the scale."""
    folder = tmp_path / "shapes"
    cold(
        *("tools/train.py", "configs/maskformer_r18_shapes.py", "--amp", "--work-dir", tmp_path),
        *("--cfg-options", "train_cfg.max_iters=30", "train_cfg.val_interval=30"),
        f"optim_wrapper.dtype={dtype}",
        *("default_hooks.logger.interval=1", f"train_dataloader.dataset.data_root={folder}"),
        f"val_dataloader.dataset.data_root={folder}",
    )
    steps, _ = logged(tmp_path)
    assert [entry["step"] for entry in steps] == list(range(1, 31))
    assert all(math.isfinite(entry["loss"]) for entry in steps)
    assert all(math.isfinite(entry["grad_norm"]) for entry in steps[25:])
