"""A small dataset with its config, and what tools/check_dataset.py prints about it."""

import runpy
import sys

import cv2
import numpy as np

from tests.conftest import ROOT

CONFIG = """
_base_ = ["{root}/configs/maskformer_r18_shapes.py"]
classes = ("cat", "dog", "grass")
model = dict(decode_head=dict(num_classes=3, ignore_index=255))
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type="BaseSegDataset",
        data_root="{data}",
        data_prefix=dict(img_path="img", seg_map_path="ann"),
        metainfo=dict(classes=classes, palette=[[1, 1, 1], [2, 2, 2], [3, 3, 3]]),
        pipeline=[dict(type="{scope}LoadImageFromFile"), dict(type="{scope}LoadAnnotations")],
    )
)
val_dataloader = train_dataloader
test_dataloader = train_dataloader
"""


class Tree:
    """Images, label maps and a config; `run` gives the text that the tool prints."""

    def __init__(self, root, monkeypatch, capsys):
        self.root, self.monkeypatch, self.capsys = root, monkeypatch, capsys
        for folder in ("img", "ann"):
            (root / folder).mkdir()
        self.configure()
        for i in range(3):
            self.add(str(i), np.tile(np.array([0, 1, 2, 255], np.uint8), (20, 5)))

    def configure(self, scope="mmmaskformer.", extra=""):
        text = CONFIG.format(root=ROOT, data=self.root, scope=scope)
        (self.root / "mine.py").write_text(text + extra)

    def add(self, name, labels):
        labels = np.asarray(labels)
        image = np.random.default_rng(0).integers(0, 255, (*labels.shape[:2], 3), dtype=np.uint8)
        cv2.imwrite(str(self.root / f"img/{name}.jpg"), image)
        cv2.imwrite(str(self.root / f"ann/{name}.png"), labels)

    def run(self, *arguments, ok=True, config=None):
        command = [config or self.root / "mine.py", "--workers", 1, *arguments]
        self.monkeypatch.setattr(sys, "argv", ["check_dataset.py", *map(str, command)])
        code = None
        try:
            runpy.run_path(str(ROOT / "tools/check_dataset.py"), run_name="__main__")
        except SystemExit as error:
            code = error.code
        text, line = self.capsys.readouterr()
        assert (code is None) == ok, (code, text)
        if isinstance(code, str):  # problems were found
            return f"{text}{code}"
        assert ok or (code == 2 and line.startswith("error: ") and line.count("\n") == 1)
        return text if ok else f"{text}{line.rstrip()}"


def lines_of(text, kind):
    return [line for line in text.splitlines() if line.startswith(f"{kind}: ")]
