"""Videos, one frame after another: read from a file or a camera, and written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

# FFmpeg's lines about damaged frames; OpenCV reads this when it first opens a video.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
VIDEOS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv")
"""Suffixes of video files, in small letters."""
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
"""What videos are written with; OpenCV has both everywhere."""
SLACK = 0.98
"""Least share of the frames that a file says it has: some count by the clock."""
USUAL = 25.0
"""Frames per second of a camera or file that does not say."""


@contextmanager
def quiet() -> Iterator[None]:
    """OpenCV says nothing: what is wrong is one line of ours."""
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


@dataclass(frozen=True)
class Video:
    """A video file, or the number of a camera.

    Iterating opens it anew and gives its frames, (H, W, 3) uint8 BGR, upright as the file says.
    """

    source: str | int

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"camera {self.source}" if isinstance(self.source, int) else self.source

    def open(self) -> cv2.VideoCapture:
        """The opened video.

        Raises:
            OSError, ValueError: no such camera or file, or one that is no video.
        """
        camera = isinstance(self.source, int)
        if isinstance(self.source, int) and self.source < 0:  # OpenCV crashes
            raise ValueError(f"there is no {self.name}; wanted a number of at least 0")
        if not camera and not Path(self.source).is_file():
            raise FileNotFoundError(f"video {self.source} does not exist or is no file")
        with quiet():
            capture = cv2.VideoCapture(self.source, cv2.CAP_ANY if camera else cv2.CAP_FFMPEG)
        if camera and not capture.isOpened():
            raise OSError(f"{self.name} can not be opened; is it there, and free?")
        if not capture.isOpened():
            raise ValueError(f"video {self.source} can not be read; it is damaged or no video")
        return capture

    @property
    def rate(self) -> float:
        """Frames per second, `USUAL` of a video that can not be read: its frames will say so."""
        try:
            return self.properties()[0]
        except (OSError, ValueError):
            return USUAL

    def properties(self) -> tuple[float, int | None]:
        """Frames per second, and how many frames the file says it has; None: nobody knows."""
        capture = self.open()
        try:
            rate, count = (capture.get(k) for k in (cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_COUNT))
        finally:
            capture.release()
        return (rate if 0 < rate < 1000 else USUAL), (int(count) if count > 0 else None)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames; ValueError after the last one if the file says that there are more."""
        capture, number = self.open(), 0
        try:
            expected = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
            while True:
                found, frame = capture.read()
                if not found:
                    break
                number += 1
                yield frame
        finally:
            capture.release()
        if number < SLACK * expected or number == 0:
            raise ValueError(
                f"{self.name} ends after {number} of {expected} frames; it is damaged or incomplete"
            )


class VideoWriter:
    """Writes frames to a .mp4 or .avi file.

    The file has its name when the block is left, also by Ctrl-C: then with the frames until
    there. After another error nothing is left.

    Args:
        path: ends in a suffix of `CODECS`.
        rate: frames per second.
    """

    def __init__(self, path: str | Path, rate: float) -> None:
        self.path, self.rate = Path(path), rate
        if self.path.suffix not in CODECS:
            raise ValueError(f"video {path} must end in {' or '.join(CODECS)}")
        # Hidden; the suffix is what says the format.
        self.work = self.path.with_name(f".{self.path.stem}.{os.getpid()}{self.path.suffix}")
        self.writer: cv2.VideoWriter | None = None
        self.size: tuple[int, int] | None = None

    def __enter__(self) -> VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def write(self, frame: np.ndarray) -> None:
        """Append a frame (H, W, 3) uint8 RGB; all are of one size.

        Raises:
            OSError, ValueError: the file can not be written; a frame of another size.
        """
        height, width = frame.shape[:2]
        if self.writer is None:
            codec, self.size = cv2.VideoWriter.fourcc(*CODECS[self.path.suffix]), (width, height)
            with quiet():
                self.writer = cv2.VideoWriter(
                    str(self.work), cv2.CAP_FFMPEG, codec, self.rate, self.size
                )
            if not self.writer.isOpened():
                raise OSError(f"video {self.path} can not be written with {width}x{height} pixels")
        if self.size != (width, height):
            first = "x".join(map(str, self.size or ()))
            raise ValueError(f"{self.path}: a frame of {width}x{height} after those of {first}")
        self.writer.write(np.ascontiguousarray(frame[..., ::-1]))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.writer is not None:
            self.writer.release()
        try:
            if self.writer is not None and (kind is None or kind is KeyboardInterrupt):
                if not self.work.is_file() or not self.work.stat().st_size:
                    raise OSError(f"video {self.path} can not be written; is the disk full?")
                os.replace(self.work, self.path)
        finally:
            self.work.unlink(missing_ok=True)
