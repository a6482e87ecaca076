"""What every room uses: lists in messages, json files, names, counts."""

import pytest
import torch

from mmmaskformer.utils.files import png_name, read_json
from mmmaskformer.utils.parameters import count_parameters
from mmmaskformer.utils.text import listing


def test_listing_says_how_many_are_left_out():
    assert listing([]) == ""
    assert listing([1, "b"]) == "1, b"
    assert listing(range(8)) == "0, 1, 2, 3, 4, 5, 6, 7"
    assert listing(iter(range(9))) == "0, 1, 2, 3, 4, 5, 6, 7 and 1 more"
    assert listing("abc", 1) == "a and 2 more"
    assert listing(["a\nb\x1b[31m"]) == "a?b?[31m"


def test_json_that_is_damaged_names_its_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"name": "ä"}', encoding="utf-8")
    assert read_json(path) == read_json(str(path)) == {"name": "ä"}
    for content in (b'{"a": ', b"\xff\xfe\x00", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.json is no valid json .* damaged or incomplete"):
            read_json(path)
    with pytest.raises(FileNotFoundError, match=r"b\.json does not exist$"):
        read_json(tmp_path / "b.json")


def test_names_and_counts():
    assert png_name("images/val/a.b.jpg") == "a.b.png"
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm2d(5))
    model[0].weight.requires_grad_(False)
    assert count_parameters(model) == 3 * 2 + 2 + 2 * 5
