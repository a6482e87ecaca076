"""Ceilings for what a GPU would wait for and launch, counted on a CPU; see `device_waits`."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mmmaskformer.core import InstanceFusion, PanopticFusion
from mmmaskformer.det.detector import boxes_of
from tests.core.test_checks import UNDETERMINED, Seen
from tests.core.test_panoptic_fusion import ISTHING, make_view
from tests.det.test_detector import build as build_detector
from tests.det.test_detector import make_data as detection_data
from tests.device_waits import DeviceWaits
from tests.engine.test_fused import needs_fused
from tests.seg.test_panoptic import panoptic_data
from tests.seg.test_per_pixel_head import HEADS
from tests.seg.test_segmentor import build, make_data

SIZES = (64, 96), (64, 96)
CONFIGS = Path(__file__).parents[1] / "configs"
SCHEDULE = Config.fromfile(CONFIGS / "_base_/schedules/resnet_160k.py").optim_wrapper
SCHEDULE.optimizer.fused = SCHEDULE.clip_grad.foreach = True  # as on a GPU


def tensors_of(model, batch):
    yield from model.parameters()
    yield from model.buffers()
    yield batch["inputs"]
    for sample in batch["data_samples"]:
        yield from (sample.gt_segments.targets.labels, sample.gt_segments.targets.segment_map)


def step(model, data):
    """What a training step waits for, and the launches of its forward and losses, of its backward,
    and of clipping and the update."""
    model.train()
    batch = model.data_preprocessor(data, training=True)
    optimizer = build_optim_wrapper(model, SCHEDULE)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimizer.step()  # the first one makes the state
    optimizer.zero_grad()
    launches = [0]
    with DeviceWaits(*tensors_of(model, batch)) as counted:
        loss, _ = model.parse_losses(model(**batch, mode="loss"))
        launches.append(counted.launches)
        optimizer.backward(loss)
        launches.append(counted.launches)
        optimizer.step()
        launches.append(counted.launches)
    return counted.waits, [after - before for before, after in pairwise(launches)]


STEPS = {
    "semantic": lambda: (build(), make_data(*SIZES)),
    "panoptic": lambda: (build(), panoptic_data(*SIZES)),
    "per-pixel": lambda: (build(**HEADS["baseline"]), make_data(*SIZES)),
    "per-pixel+": lambda: (build(**HEADS["plus"]), make_data(*SIZES)),
    "mmdet": lambda: (
        build_detector(processor="mmmaskformer.MaskFormerDetDataPreprocessor"),
        detection_data(*SIZES),
    ),
}


CEILINGS = {
    "semantic": (1, 400, 290, 12),
    "panoptic": (1, 400, 290, 12),
    "per-pixel": (0, 160, 155, 12),
    "per-pixel+": (0, 250, 320, 12),
    "mmdet": (1, 380, 290, 12),
}
"""Waits of a step but for mmengine's, and launches of its three parts; the matcher waits for its
costs."""


@needs_fused
@pytest.mark.parametrize("name", STEPS)
def test_steps(name):
    waits, launches = step(*STEPS[name]())
    allowed, *ceilings = CEILINGS[name]
    *ours, theirs = waits
    assert theirs == "_local_scalar_dense"  # the norm of the gradient, which is logged
    assert len(ours) <= allowed, ours
    for count, ceiling in zip(launches, ceilings, strict=True):
        assert ceiling / 2 < count <= ceiling, launches


@pytest.mark.parametrize("name", STEPS)
def test_steps_are_deterministic_on_a_gpu(name):
    """Backbone included; sizes that are no multiples of 4 are in the tests of the core."""
    model, data = STEPS[name]()
    model.train()
    batch = model.data_preprocessor(data, training=True)
    with Seen() as seen:
        loss, _ = model.parse_losses(model(**batch, mode="loss"))
        loss.backward()
    assert {"convolution_backward", "max_pool2d_with_indices_backward"} <= seen.names
    assert not seen.names & UNDETERMINED


def test_panoptic_inference():
    view = make_view()
    with DeviceWaits(view.class_prob, view.mask_logits) as counted:
        result = PanopticFusion(ISTHING, object_threshold=0.1, overlap_threshold=0.1)(
            view, (70, 90)
        )
    assert len(result.segments_info) > 1
    assert len(counted.waits) <= 2, counted.waits
    assert 20 < counted.launches <= 50


def test_instance_inference():
    view = make_view()
    with DeviceWaits(view.class_prob, view.mask_logits) as counted:
        result = InstanceFusion(ISTHING)(view, (70, 90))
        boxes_of(result.masks)
    assert len(result.masks) > 5
    assert len(counted.waits) <= 2, counted.waits
    assert 20 < counted.launches <= 70


WAITING = {
    "a number": lambda x: float(x.sum()),
    "a condition": lambda x: bool((x > 0).any()),
    "a list": lambda x: x.tolist(),
    "a copy to the host": lambda x: x.cpu(),
    "an array": lambda x: x.detach().numpy(),
    "a mask": lambda x: x[x > 0],
    "an assignment to a mask": lambda x: x.clone().__setitem__(x > 0, x.sum()),
    "places": lambda x: torch.nonzero(x),
    "counts": lambda x: torch.bincount(x.long()),
    "distinct values": lambda x: x.unique(),
    "an assignment to one element": lambda x: x.clone().__setitem__(-1, 0.5),
    "numbers of the host": lambda x: x + torch.tensor([1.0, 2.0, 3.0]),
    "numbers of the host, made elsewhere": lambda x: x + x.new_tensor([1.0, 2.0, 3.0]).neg(),
    "a blocking copy": lambda x: x + torch.tensor([1.0, 2.0, 3.0]).to(x.device),
}
NOT_WAITING = {
    "a slice": lambda x: x.clone().__setitem__(slice(-1, None), 0.5),
    "a scalar of the host": lambda x: x + torch.tensor(2.0),
    "a copy that does not block": lambda x: (
        x + torch.tensor([1.0, 2.0, 3.0]).to(x.device, non_blocking=True)
    ),
    "zeros": lambda x: x + torch.zeros(3),
    "reading what is on the host": lambda x: torch.tensor([1.0, 2.0]).sum().item(),
    "an index": lambda x: x[x.argsort()],
}


@pytest.mark.parametrize("what", [*WAITING, *NOT_WAITING])
def test_what_is_counted(what):
    x = torch.tensor([0.0, 1.0, 2.0])
    with DeviceWaits(x) as counted:
        {**WAITING, **NOT_WAITING}[what](x)
    assert len(counted.waits) == (what in WAITING), counted.waits


def test_what_came_from_the_device_is_read_on_the_host():
    x = torch.tensor([0.0, 1.0, 2.0])
    with DeviceWaits(x) as counted:
        host = (x * 2).cpu()
        assert [*host.tolist(), float(host.sum()), host.numpy()[1]] == [0, 2, 4, 6, 2]
    assert counted.waits == ["cpu"]
    assert counted.launches == 1
