"""What the preparation tools share: writing, checking, several processes."""

import os
import signal
import subprocess
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmmaskformer.datasets import preparation
from mmmaskformer.datasets.preparation import (
    image_size,
    inside,
    is_whole,
    keep_or_write,
    make_folder,
    read_image,
    read_labels,
    run_all,
    write_image,
)
from mmmaskformer.utils.files import replacing
from tests.conftest import WARM

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pngs_keep_their_values(tmp_path, dtype):
    array = RNG.integers(0, np.iinfo(dtype).max, (30, 40), dtype=dtype, endpoint=True)
    write_image(tmp_path / "new/a.png", array)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "new/a.png")), array)
    assert image_size(tmp_path / "new/a.png") == (30, 40)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]


def test_jpegs_are_jpegs_of_the_quality_asked_for(tmp_path):
    array = RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for quality in (20, 95):
        write_image(tmp_path / f"{quality}.jpg", array, quality=quality)
        assert Image.open(tmp_path / f"{quality}.jpg").format == "JPEG"
    assert (tmp_path / "95.jpg").stat().st_size > 2 * (tmp_path / "20.jpg").stat().st_size


def test_truncated_images_are_not_whole(tmp_path):
    array = RNG.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    for name in ("a.png", "a.jpg"):
        path = tmp_path / name
        assert not is_whole(path, (64, 64))
        write_image(path, array)
        assert is_whole(path, (64, 64))
        path.write_bytes(path.read_bytes()[:-200])
        assert not is_whole(path, (64, 64))
        with pytest.raises(ValueError, match=rf"a\.{name[2:]} can not be read .* damaged"):
            read_image(path)


def test_label_images_are_checked(tmp_path):
    photo, path = tmp_path / "a.jpg", tmp_path / "a.png"
    write_image(photo, np.zeros((1, 2, 3), np.uint8))
    write_image(path, np.array([[0, 7]], np.uint8))
    assert read_labels(path, photo, 1, 7).tolist() == [[0, 7]]
    with pytest.raises(ValueError, match=r"a\.png must hold 0\.\.6, got 7"):
        read_labels(path, photo, 1, 6)
    with pytest.raises(
        ValueError, match=r"a\.png must have 3 channel\(s\) of 8 bits, got \(1, 2\)"
    ):
        read_labels(path, photo, 3, 7)
    write_image(path, np.array([[0, 7]], np.uint16))
    with pytest.raises(ValueError, match=r"a\.png must have 1 channel\(s\) of 8 bits, .* uint16"):
        read_labels(path, photo, 1, 7)
    write_image(path, np.array([[0], [7]], np.uint8))
    with pytest.raises(
        ValueError,
        match=r"a\.png is \(2, 1\) \(height, width\), its image .*a\.jpg \(1, 2\)",
    ):
        read_labels(path, photo, 1, 7)


def test_the_size_is_compared_before_pixels_are_read(tmp_path):
    """A head that says 8000x8000 and has no pixels behind it."""
    write_image(tmp_path / "a.jpg", np.zeros((1, 2, 3), np.uint8))
    Image.new("L", (8000, 8000)).save(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:50])
    with pytest.raises(ValueError, match=r"a\.png is \(8000, 8000\) \(height, width\)"):
        read_labels(tmp_path / "a.png", tmp_path / "a.jpg", 1, 7)


def test_only_formats_that_pillow_reads_itself(tmp_path):
    (tmp_path / "a.png").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 2 1\n%%EOF\n")
    with pytest.raises(ValueError, match=r"a\.png can not be read \(cannot identify"):
        image_size(tmp_path / "a.png")


def test_links_are_followed_inside_only(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root, other):
        folder.mkdir()
        (folder / "a.png").touch()
    (root / "b.png").symlink_to("a.png")
    inside(root, root / "b.png", root / "new.png")
    (tmp_path / "link").symlink_to(root)
    inside(tmp_path / "link", tmp_path / "link/a.png")
    (root / "c.png").symlink_to(other / "a.png")
    for bad in (root / "c.png", root / "../other/a.png", other):
        with pytest.raises(ValueError, match=r"leads out of .*root, to .*/other"):
            inside(root, bad)


def test_somebody_elses_png_is_kept(tmp_path):
    path, array = tmp_path / "a.png", np.array([[1, 2]], np.uint8)
    keep_or_write(path, array)
    stamp = path.stat().st_mtime_ns
    keep_or_write(path, array)
    assert path.stat().st_mtime_ns == stamp
    with pytest.raises(ValueError, match=r"a\.png is not what its annotations say; remove it"):
        keep_or_write(path, array + 1)
    assert read_image(path).tolist() == [[1, 2]]
    for damaged in (path.read_bytes()[:40], b"", bytes(500)):
        path.write_bytes(damaged)
        keep_or_write(path, array + 1)
        assert read_image(path).tolist() == [[2, 3]]


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_file_that_is_no_image_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("my notes")
    with pytest.raises(ValueError, match=rf"{name} can not be read .* is yours: remove it"):
        is_whole(tmp_path / name, (1, 2))
    write_image(tmp_path / name, np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match=rf"{name} is \(2, 2\) .* wanted \(1, 2\): remove it"):
        is_whole(tmp_path / name, (1, 2))


def test_a_png_that_reads_back_otherwise_is_not_kept(tmp_path, monkeypatch):
    array = RNG.integers(0, 255, (8, 8), dtype=np.uint8)
    other = array.copy()
    other[3, 4] += 1
    monkeypatch.setattr(preparation, "read_image", lambda path: other)
    write_image(tmp_path / "a.jpg", array)
    with pytest.raises(OSError, match=r"b\.png does not hold what was written to it"):
        write_image(tmp_path / "b.png", array)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]


def test_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    def full(self, path, **options):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    path = tmp_path / "a.png"
    path.write_text("old")
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match=r"a\.png could not be written \(.*No space left"):
        write_image(path, np.zeros((2, 2), np.uint8))
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_interrupted_block_leaves_the_old_file(tmp_path):
    (tmp_path / "a.txt").write_text("old")

    def interrupted():
        with replacing(tmp_path / "a.txt") as work:
            work.write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]
    with replacing(tmp_path / "a.txt") as work:
        assert not list(tmp_path.glob("*.txt.*"))
        work.write_text("new")
    assert [file.read_text() for file in tmp_path.iterdir()] == ["new"]


def dead_process():
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_only_leftovers_of_dead_processes_are_removed(tmp_path):
    dead, alive = dead_process(), os.getppid()
    gone = {f".a.png.{dead}", f".a.png.{os.getpid()}"}
    kept = {f".a.png.{alive}", ".a.png.0", f".backup.{dead}", f".b.png.{dead}", "a.png", "a.12"}
    for name in gone | kept:
        (tmp_path / name).touch()
    make_folder(tmp_path, tmp_path, ["a.png"])
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "labels").write_text("mine")
    with pytest.raises(ValueError, match="labels is a file, wanted a folder to write to"):
        make_folder(tmp_path, tmp_path / "labels")
    assert (tmp_path / "labels").read_text() == "mine"


def hold(folder, held):
    with preparation.alone(folder):
        held.set()
        time.sleep(60)


def test_a_folder_is_held_by_one_tool_until_its_process_ends(tmp_path, capfd):
    held = WARM.Event()
    holder = WARM.Process(target=hold, args=(tmp_path, held))
    holder.start()
    try:
        assert held.wait(60)
        threading.Timer(0.5, holder.kill).start()
        with preparation.alone(tmp_path):
            assert not command_line(holder.pid)  # not before it has ended
            holder.join()
            assert holder.exitcode == -signal.SIGKILL
    finally:
        holder.kill()
    assert f"another tool writes to {tmp_path}: waiting" in capfd.readouterr().out
    with preparation.alone(tmp_path):  # free again
        pass


def square(task):
    if task == "bad":
        raise ValueError("bad.png is bad")
    if task == "strange":
        raise ZeroDivisionError("by zero")
    if task == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    return task**2, os.getpid()


def test_results_keep_their_order_and_come_from_several_processes():
    numbers, processes = zip(*run_all(square, range(100), 2, "squares"), strict=True)
    assert list(numbers) == [n**2 for n in range(100)]
    assert os.getpid() not in processes


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ("bad", ValueError, r"^bad\.png is bad$"),
        ("strange", ValueError, r"^strange failed \(ZeroDivisionError: by zero\)$"),
        ("killed", ChildProcessError, "a worker was killed, .*start again"),
    ],
)
def test_failed_task_is_one_error(task, kind, message):
    with pytest.raises(kind, match=message):
        run_all(square, [*range(20), task, *range(20)], 2, "squares")


def sleep(folder, task):
    (folder / str(os.getpid())).touch()
    time.sleep(60)


def run_sleepers(folder):
    run_all(partial(sleep, folder), range(2 * 8), 2, "sleepers")


def command_line(pid):
    """Empty when the process has ended, even where nobody has taken notice yet."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def wait_until(true):
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise TimeoutError


def test_workers_end_when_the_first_process_is_killed(tmp_path):
    run = WARM.Process(target=run_sleepers, args=(tmp_path,))
    run.start()
    try:
        wait_until(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        run.kill()
        run.join()
    wait_until(lambda: not any(command_line(file.name) for file in tmp_path.iterdir()))
