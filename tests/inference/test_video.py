"""Videos that are written, read again by OpenCV."""

import cv2
import numpy as np
import pytest

from mmmaskformer.inference.video import Video, VideoWriter


def grey(value, size=(48, 64)):
    return np.full((*size, 3), (value, 0, 0), np.uint8)  # red


def read(path):
    capture = cv2.VideoCapture(str(path))
    found = []
    while (frame := capture.read())[0]:
        found.append(frame[1])
    return capture.get(cv2.CAP_PROP_FPS), found


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_frames_and_rate_are_kept(tmp_path, suffix):
    path = tmp_path / f"new/film{suffix}"
    with VideoWriter(path, 12.5) as writer:
        for number in range(5):
            writer.write(grey(50 * number)[:, ::-1])  # a view with odd strides
            assert not path.exists()
    rate, found = read(path)
    assert rate == pytest.approx(12.5)
    assert len(found) == 5
    for number, frame in enumerate(found):
        assert frame.shape == (48, 64, 3)
        assert abs(int(frame[20, 20, 2]) - 50 * number) < 12
        assert frame[20, 20, 0] < 12
    assert Video(str(path)).properties() == (pytest.approx(12.5), 5)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def write(frames, path):
    with VideoWriter(path, 10) as writer:
        for frame in frames:
            writer.write(frame)


def four_and(error):
    yield from (grey(number) for number in range(4))
    raise error


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_ctrl_c_leaves_a_file_that_plays(tmp_path, suffix):
    path = tmp_path / f"film{suffix}"
    with pytest.raises(KeyboardInterrupt):
        write(four_and(KeyboardInterrupt()), path)
    assert len(read(path)[1]) == 4
    assert len(list(tmp_path.iterdir())) == 1


def test_an_error_leaves_nothing_new(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"what was there")
    with pytest.raises(ValueError, match="mine"):
        write(four_and(ValueError("mine")), path)
    assert path.read_bytes() == b"what was there"
    assert len(list(tmp_path.iterdir())) == 1


def test_no_frame_makes_no_file(tmp_path):
    with VideoWriter(tmp_path / "film.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_can_not_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"film\.gif must end in \.mp4 or \.avi"):
        VideoWriter(tmp_path / "film.gif", 10)
    with pytest.raises(ValueError, match=r"a frame of 64x50 after those of 64x48"):
        write([grey(0), grey(0, (50, 64))], tmp_path / "film.mp4")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        write([grey(0)], tmp_path / "file/film.mp4")
