"""How tools end."""

import errno
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import SimpleNamespace

import pytest
from torch.utils.data import DataLoader

from mmmaskformer.datasets.folder import read_classes
from mmmaskformer.utils import command
from mmmaskformer.utils.files import replacing
from tests.commands import mistake


def fail(error):
    raise error


def ends(capsys, error):
    """Exit code and the lines on stderr after an error of somebody else's code."""
    with pytest.raises(SystemExit) as caught:
        command.run(lambda: fail(error))
    return caught.value.code, capsys.readouterr().err.splitlines()


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.delenv(command.DEBUG, raising=False)
    monkeypatch.setattr(sys, "argv", ["/elsewhere/tool.py"])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left", "a.pth"), "a.pth: No space left"),
        (FileNotFoundError("x.json does not exist"), "x.json does not exist"),
        (BrokenProcessPool(), "a worker was killed, perhaps for want of memory; try --workers 1"),
        (MemoryError("4 GB"), "out of memory (4 GB); try a smaller batch_size or smaller images"),
        (OSError("two\nlines \x1b[31m red"), "two lines ?[31m red"),
        (PermissionError(errno.EACCES, "Permission denied", "/a"), "/a: Permission denied"),
    ],
)
def test_what_the_machine_refuses_is_one_line(capsys, error, line):
    assert ends(capsys, error) == (2, [f"error: {line}"])


def test_a_file_in_the_place_of_a_folder_is_named(capsys, tmp_path):
    (tmp_path / "out").touch()
    line = mistake(capsys, command.run, lambda: (tmp_path / "out").mkdir(exist_ok=True))
    assert line == f"error: {tmp_path / 'out'} is a file; wanted a folder"


def test_memory_is_wanting_once(capsys):
    """Where a part of a config says so, the advice about images is not added."""
    text = "a.py: Head: it does not fit into the memory: can't allocate memory"
    assert command.one_line(ValueError(text)) == text
    assert "out of memory" in command.one_line(RuntimeError("can't allocate memory: 8 GB"))


def test_our_own_complaint_is_one_line(capsys, tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("a\na\n")
    line = mistake(capsys, command.run, lambda: read_classes(path))
    assert line == f"error: {path} names ['a'] more than once"


@pytest.mark.parametrize(
    "error", [ValueError("shapes do not fit"), KeyError("a"), AssertionError(), RuntimeError("x")]
)
def test_errors_of_other_code_keep_their_traceback(capsys, error):
    code, lines = ends(capsys, error)
    assert code == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2].startswith(type(error).__name__)
    assert lines[-1] == command.REPORT


def test_assertions_of_ours_are_faults(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [__file__])  # as if this file were a tool
    assert ends(capsys, ValueError("a tool's"))[0] == 2
    assert ends(capsys, AssertionError("a tool's"))[0] == 1
    assert ends(capsys, NotImplementedError("a tool's"))[0] == 1


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_where(capsys, monkeypatch, how):
    if how == "option":
        monkeypatch.setattr(sys, "argv", ["/elsewhere/tool.py", "--debug"])
    else:
        monkeypatch.setenv(command.DEBUG, "1")
    code, lines = ends(capsys, OSError("no"))
    assert (code, lines[0]) == (2, "Traceback (most recent call last):")
    assert lines[-1] == "error: no"


def test_a_full_disk_names_the_file(capsys, monkeypatch, tmp_path):
    """torch's writer says "unexpected pos" and no file; an open file's error has no name."""
    path = tmp_path / "a.pth"

    def write(error):
        with replacing(path) as work:
            work.write_text("a part")
            raise error

    no_space = OSError(errno.ENOSPC, "No space left on device")
    line = f"error: {path}: No space left on device"
    for error, free in ((no_space, 1 << 30), (RuntimeError("unexpected pos 64 vs 0"), 0)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        assert mistake(capsys, command.run, lambda error=error: write(error)) == line
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    with pytest.raises(RuntimeError, match="unexpected pos"):
        write(RuntimeError("unexpected pos 64 vs 0"))


def test_a_file_that_can_not_get_its_name_is_named(capsys, tmp_path):
    """Not by the temporary one, which says nothing to anybody."""
    (tmp_path / "folder").mkdir()

    def write():
        with replacing(tmp_path / "folder") as work:
            work.write_text("all")

    assert mistake(capsys, command.run, write) == f"error: {tmp_path}/folder: Is a directory"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]

    def nowhere():
        with replacing("/proc/self/a.txt") as work:
            work.write_text("all")

    line = mistake(capsys, command.run, nowhere)
    assert line.startswith("error: /proc/self/a.txt: ")


def test_interrupt_is_silent(capsys):
    assert ends(capsys, KeyboardInterrupt()) == (130, [])


@pytest.mark.parametrize("arguments", [["--bogus"], ["--count", "many"], []])
def test_wrong_options_are_one_line(capsys, monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["tool.py", *arguments])

    def main():
        parser = command.Parser(prog="tool.py")
        parser.add_argument("folder")
        parser.add_argument("--count", type=int)
        parser.parse_args()

    line = mistake(capsys, command.run, main)
    assert line.startswith("error: tool.py: ")
    assert line.endswith("(--help lists the options)")


class Broken:
    """A dataset of which every item is a fault of the user's file."""

    def __init__(self, path):
        self.path = path

    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            raise OSError("inner")
        except OSError:
            return read_classes(self.path)


@pytest.mark.slow
def test_errors_of_workers_are_as_those_of_the_process(capsys, tmp_path):
    """torch sends a worker's traceback in the message, pools as the cause."""
    path = tmp_path / "classes.txt"
    path.write_text("")
    loader = DataLoader(Broken(path), num_workers=1, multiprocessing_context="fork")
    line = mistake(capsys, command.run, lambda: list(loader))
    assert line == f"error: {path} is empty: one class name a line, label 0 first"
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        future = pool.submit(read_classes, path)
        line = mistake(capsys, command.run, future.result)
    assert line == f"error: {path} is empty: one class name a line, label 0 first"
    path.unlink()
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        future = pool.submit(int, "seven")  # nobody of ours says so
        assert not command.is_mistake(future.exception())
