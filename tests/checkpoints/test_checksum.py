"""Checksums of tensors: what they notice, and what they do not mind."""

import pytest
import torch

from mmmaskformer.checkpoints.checksum import KEY, changed, checksum, stamp


@pytest.mark.parametrize("size", [0, 1, 7, 512, 1024, 5000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.uint8, torch.bool])
def test_every_flipped_bit_is_noticed(size, dtype):
    tensor = torch.randint(0, 2, (size,)).to(dtype)
    before = checksum({"w": tensor})
    raw = tensor.view(torch.uint8)
    for place in {0, raw.numel() // 2, raw.numel() - 1} if raw.numel() else ():
        raw[place] ^= 1
        assert checksum({"w": tensor}) != before
        raw[place] ^= 1
    assert checksum({"w": tensor}) == before


def test_pages_and_equal_sums_in_another_order_are_noticed():
    tensor = torch.arange(4096)
    swapped = tensor.view(8, 512).flip(0).reshape(-1)
    assert checksum([swapped]) != checksum([tensor])
    zeroed = tensor.clone()
    zeroed[512:1024] = 0
    assert checksum([zeroed]) != checksum([tensor])


def test_names_shapes_and_types_count():
    tensor = torch.zeros(4, 6)
    same = [{"a": tensor}, {"a": torch.zeros(6, 4).t()}, {"a": torch.zeros(5, 7)[1:, 1:]}]
    assert len({checksum(content) for content in same}) == 1
    others = [{"b": tensor}, {"a": tensor.view(6, 4)}, {"a": tensor.int()}, {}, {"a": [tensor]}]
    assert len({checksum(content) for content in [*others, same[0]]}) == 6


def test_layout_and_device_do_not_count():
    tensor = torch.arange(3 * 5000.0).view(3, 5000)
    assert checksum({"a": tensor.t().contiguous().t()}) == checksum({"a": tensor})
    part = torch.cat([torch.zeros(1), tensor.view(-1)])[1:].view(3, 5000)  # begins inside a word
    assert checksum({"a": part}) == checksum({"a": tensor})
    assert checksum({"a": torch.nn.Parameter(tensor)}) == checksum({"a": tensor})
    checksum({"a": tensor.to("meta"), "b": tensor.to_sparse(), "c": torch.zeros(2, 0)})


def test_entries_are_judged_one_by_one():
    checkpoint = {
        "meta": {"iter": 3},
        "state_dict": {"w": torch.arange(3.0)},
        "optimizer": {"state": {0: {"exp_avg": torch.ones(3), "step": torch.tensor(3.0)}}},
    }
    checkpoint[KEY] = stamp(checkpoint)
    assert set(checkpoint[KEY]["value"]) == {"state_dict", "optimizer"}
    assert changed(checkpoint) == []
    checkpoint["optimizer"]["state"][0]["step"] += 1
    assert changed(checkpoint) == ["optimizer"]
    del checkpoint["optimizer"]
    assert changed(checkpoint) == []
    assert changed({"state_dict": {}}) == []
    assert changed({KEY: {"algorithm": "another", "value": {}}}) == []


def test_loops_and_shared_containers_end():
    shared = [torch.ones(1)]
    for _ in range(100):
        shared = [shared, shared]
    shared.append(shared)
    assert checksum(shared) == checksum(shared)
