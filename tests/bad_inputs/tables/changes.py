"""How good inputs become bad ones: functions of the folder that they are in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Change = Callable[[Path], object]


def text(name: str, content: str | bytes) -> Change:
    """Write a file, in folders that may be new."""

    def change(root: Path) -> None:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        if path.is_symlink():
            path.unlink()
        path.write_bytes(data)

    return change


def append(name: str, content: str) -> Change:
    return lambda root: (root / name).write_text((root / name).read_text() + content)


def remove(name: str) -> Change:
    def change(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def empty(name: str) -> Change:
    """A folder without its files."""
    return lambda root: [path.unlink() for path in (root / name).iterdir() if path.is_file()]


def cut(name: str, share: float = 0.5) -> Change:
    def change(root: Path) -> None:
        content = (root / name).read_bytes()
        if (root / name).is_symlink():
            (root / name).unlink()
        (root / name).write_bytes(content[: int(len(content) * share)])

    return change


def flip(name: str, where: float = 0.6) -> Change:
    """One bit of a file's middle is another."""

    def change(root: Path) -> None:
        content = bytearray((root / name).read_bytes())
        content[int(len(content) * where)] ^= 16
        (root / name).unlink()
        (root / name).write_bytes(content)

    return change


def link(name: str, target: str) -> Change:
    def change(root: Path) -> None:
        remove(name)(root) if (root / name).exists() else None
        (root / name).symlink_to(target)

    return change


def fifo(name: str) -> Change:
    def change(root: Path) -> None:
        remove(name)(root)
        os.mkfifo(root / name)

    return change


def folder(name: str) -> Change:
    def change(root: Path) -> None:
        if (root / name).is_file():
            (root / name).unlink()
        (root / name).mkdir(parents=True)

    return change


def image(name: str, array, kind: str | None = None) -> Change:
    """An array as an image; `array` may be a function of the one that is there."""

    def change(root: Path) -> None:
        path = root / name
        new = array(np.asarray(Image.open(path))) if callable(array) else array
        Image.fromarray(np.asarray(new)).save(path, format=kind)

    return change


def edit(name: str, how: Callable[[dict], object]) -> Change:
    """Change the content of a json file; a returned value takes its place."""

    def change(root: Path) -> None:
        content = json.loads((root / name).read_text())
        new = how(content)
        (root / name).write_text(json.dumps(content if new is None else new))

    return change


def weights(name: str, how: Callable[[dict], object]) -> Change:
    """Change the content of a checkpoint; a returned value takes its place."""

    def change(root: Path) -> None:
        import torch

        path = root / name
        content = torch.load(path, weights_only=False, map_location="cpu")
        new = how(content)
        path.unlink()
        torch.save(content if new is None else new, path)

    return change


def every(*changes: Change) -> Change:
    return lambda root: [change(root) for change in changes]
