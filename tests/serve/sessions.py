"""Sessions that workers of the tests make: one whose answer is known, and one that misbehaves."""

import os
import time
from types import SimpleNamespace

import torch

from mmmaskformer.core.fusion import SemanticFusion
from mmmaskformer.core.panoptic_fusion import PanopticFusion
from mmmaskformer.core.view_merging import merge_views
from mmmaskformer.core.views import View
from mmmaskformer.serve.limits import Refused

META = {
    "classes": ("sky", "car", "tree"),
    "palette": [[70, 130, 180], [200, 30, 40], [30, 160, 60]],
    "isthing": [False, True, False],
}
QUERIES = {3: (0, 0.95), 7: (1, 0.9), 5: (1, 0.6), 1: (2, 0.3)}
"""Query -> its class and its score. They answer for the upper left, upper right, lower left and
lower right quarter; all other queries say "no object"."""


class Quarters:
    """A predictor whose answer for any image is known: see `QUERIES`."""

    def __init__(self):
        self.model = torch.nn.Linear(1, 1)
        self.model.dataset_meta = META
        self.model.decode_head = SimpleNamespace(
            fusion=SemanticFusion(resize_logits=True),
            merge=merge_views,
            panoptic_fusion=PanopticFusion(META["isthing"]),
        )

    def predict(self, frames):
        from mmmaskformer.inference import Prediction

        head = self.model.decode_head
        return [Prediction(f.image, f.name, head, [quarters(f.image.shape)], META) for f in frames]


def quarters(shape):
    """The view of an image whose network input is padded to a multiple of 32."""
    height, width = shape[:2]
    rows, columns = -(-height // 32) * 8, -(-width // 32) * 8
    class_prob = torch.zeros(10, 4)
    class_prob[:, -1] = 1
    masks = torch.full((10, rows, columns), -9.0)
    middle = (round(height / 8), round(width / 8))
    for place, (query, (label, score)) in enumerate(QUERIES.items()):
        class_prob[query, label], class_prob[query, -1] = score, 1 - score
        if score < 0.5:  # so that the class is the most likely one
            class_prob[query, :-1] = (1 - score) / 2 * 0.5
            class_prob[query, label] = score
            class_prob[query, -1] = 1 - class_prob[query, :-1].sum()
            class_prob[query, -1] = min(float(class_prob[query, -1]), score - 0.01)
        top, left = place < 2, place % 2 == 0
        y = slice(0, middle[0]) if top else slice(middle[0], rows)
        x = slice(0, middle[1]) if left else slice(middle[1], columns)
        masks[query, y, x] = 9.0
    return View(class_prob, masks, (4 * rows, 4 * columns), (height, width))


def make_quarters(number, limits):
    from mmmaskformer.serve.session import Session

    return Session(number, "quarters", Quarters(), limits)


class SlowQuarters(Quarters):
    """Takes half a second for all images but the first."""

    def predict(self, frames):
        time.sleep(0 if frames[0].name == "a black image" else 0.5)
        return super().predict(frames)


def make_slow_quarters(number, limits):
    from mmmaskformer.serve.session import Session

    return Session(number, "quarters", SlowQuarters(), limits)


class Puppet:
    """Does what the content of a photograph says."""

    def __init__(self, number):
        self.number = number

    def describe(self):
        return {"model": "puppet", "pid": os.getpid()}

    def prepare(self):
        return False

    def predict(self, content, name):
        verb, _, value = content.decode().partition(" ")
        if verb == "sleep":
            time.sleep(float(value))
        if verb == "exit":
            os._exit(3)
        if verb == "refuse":
            raise Refused(422, f"{name} is refused")
        if verb == "fail":
            return 1 / 0
        return {"id": f"{self.number}-x", "pid": os.getpid()}

    def echo(self, key, value):
        return key, value


def make_puppet(number=0):
    return Puppet(number)


def make_nothing():
    raise FileNotFoundError("no model or config is called 'x'")
