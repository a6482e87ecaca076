import cv2
import numpy as np
import pytest

from tests.inference import models


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Paths of checkpoints of the small models, by config."""
    folder = tmp_path_factory.mktemp("checkpoints")
    names = (models.PANOPTIC, models.SEMANTIC, models.UPERNET)
    return {name: models.make_checkpoint(name, folder) for name in names}


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """A folder of small images of different sizes, smooth, so that resizing is no lottery."""
    folder = tmp_path_factory.mktemp("photographs")
    sizes = {"a": (100, 120), "b": (128, 128), "c": (64, 90), "d": (97, 121)}
    for seed, (name, size) in enumerate(sizes.items(), 1):
        cv2.imwrite(str(folder / f"{name}.png"), models.blots(size, seed))
    return folder


@pytest.fixture(scope="session")
def film(tmp_path_factory):
    """A video of 12 frames of 64x48 pixels, 10 a second, whose red tells the number."""
    path = tmp_path_factory.mktemp("film") / "street.avi"
    write_film(path)
    return path


def write_film(path, count=12, size=(64, 48)):
    codec = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, 10.0, size)
    for number in range(count):
        frame = np.zeros((size[1], size[0], 3), np.uint8)
        frame[..., 2] = 20 * (number % 12)
        writer.write(frame)
    writer.release()
