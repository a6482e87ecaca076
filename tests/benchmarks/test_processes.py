"""Processes that train together."""

from dataclasses import replace

import pytest
import torch

from benchmarks.kit import processes, scaling
from tests.benchmarks.test_scaling import BASE, OURS
from tests.conftest import WARM


def test_efficiency_by_hand():
    found = processes.records({2: 5.0, 1: 8.0}, batch=4)
    assert [r["processes"] for r in found] == [1, 2]
    assert [r["images_per_s"] for r in found] == [0.5, 0.8]
    assert [r["efficiency"] for r in found] == [1, 0.8]
    assert processes.table(found)[1] == [["1", "0.500", "100.0 %"], ["2", "0.800", "80.0 %"]]
    (four, eight) = processes.records({4: 2.0, 8: 1.0}, batch=8)
    assert (four["efficiency"], eight["efficiency"]) == (1, 1)


def test_every_image_goes_to_one_process():
    shares = [processes.share(list(range(6)), rank, 3) for rank in range(3)]
    assert sorted(sum(shares, [])) == list(range(6))
    assert [len(share) for share in shares] == [2, 2, 2]


def test_a_batch_that_can_not_be_shared():
    with pytest.raises(ValueError, match="multiple of the processes, got 2 and 3"):
        processes.Team(3, OURS, BASE)


@pytest.mark.usefixtures("warm")
def test_a_process_that_fails_is_named():
    settings = replace(BASE, options={"model.decode_head.num_querys": 1})
    with pytest.raises(ValueError, match=r"config .*shapes\.py, process 0: .*num_querys"):
        processes.measure(OURS, settings, [1])


def weights_after_a_step(rank, size, store, queue):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=size
    )
    settings = replace(
        BASE,
        size=(64, 64),
        segments=3,
        label_classes=10,
        num_classes=10,
        options={scaling.QUERIES: 5},
    )
    step = processes.prepare(rank, size, OURS, settings)
    step()
    (losses,) = (
        c.cell_contents for c in step.__closure__ if isinstance(c.cell_contents, torch.nn.Module)
    )
    queue.put(sum(p.double().abs().sum().item() for p in losses.parameters()))
    torch.distributed.destroy_process_group()


def test_processes_of_a_team_keep_the_same_weights(tmp_path):
    queue = WARM.SimpleQueue()
    torch.multiprocessing.start_processes(
        weights_after_a_step, (2, str(tmp_path / "store"), queue), 2, start_method="forkserver"
    )
    assert queue.get() == queue.get()
