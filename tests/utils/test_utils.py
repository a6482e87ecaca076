"""What every room uses: lists in messages, json files, names, counts."""

import pytest
import torch

from mmmaskformer.utils.files import (
    check_output,
    folder_to_keep,
    parse_json,
    png_name,
    read_json,
)
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


@pytest.mark.parametrize(
    ("target", "read"),
    [
        ("data/annotations", "data/annotations"),
        ("data/annotations/out", "data/annotations"),
        ("data", "data/annotations"),
        ("link", "data/annotations"),
        ("data/annotations/../annotations/a.png", "data/annotations"),
        ("runs/model.pth", "runs/model.pth"),
        ("hard.pth", "runs/model.pth"),
    ],
)
def test_output_among_inputs_is_refused(tmp_path, monkeypatch, target, read):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/annotations").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/model.pth").touch()
    (tmp_path / "link").symlink_to("data/annotations")
    (tmp_path / "hard.pth").hardlink_to("runs/model.pth")
    folders, files = ["data/annotations"], ["runs/model.pth"]
    with pytest.raises(ValueError, match=rf"^--out {target} would write .* {read}, which .* read"):
        check_output("--out", target, folders, files)
    for fine in ("data/out", "data/annotations2", "runs/out", "other.pth"):
        check_output("--out", fine, folders, files)


def test_names_keep_folders_only_where_they_have_to():
    flat = ["v/images/a/1.jpg", "v/images/b/2.jpg"]
    assert folder_to_keep(flat) is None
    assert folder_to_keep([]) is None
    nested = ["v/images/a/1.jpg", "v/images/b/1.jpg", "v/images/b/1.jpg"]
    folder = folder_to_keep(nested)
    assert [png_name(path, folder) for path in nested] == ["a/1.png", "b/1.png", "b/1.png"]
    assert png_name("elsewhere/c.jpg", folder) == "c.png"
    with pytest.raises(ValueError, match=r"a/1\.jpg and a/1\.png would be written under one name"):
        folder_to_keep(["a/1.png", "a/1.jpg", "b/2.png"])


def test_a_key_twice_is_refused():
    assert parse_json('{"a": 1, "b": {"a": 2}}', "x.json") == {"a": 1, "b": {"a": 2}}
    with pytest.raises(ValueError, match=r"x\.json .*an object has the key 'a' twice"):
        parse_json('[{"a": 1, "b": 0, "a": 2}]', "x.json")
