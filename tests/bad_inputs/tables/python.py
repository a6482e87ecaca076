"""What Python programs call: heads and their parts, and inference."""

import numpy as np

from tests.bad_inputs.row import Row


def build(**changes):
    """A head of a config that is right but for the changes."""

    def call():
        from mmmaskformer.registry import MODELS

        config = dict(
            type="mmmaskformer.MaskFormerHead",
            in_channels=[8, 16, 32, 64],
            num_classes=3,
            num_queries=5,
            channels=32,
            mask_channels=16,
            transformer_decoder=dict(num_layers=1, feedforward_channels=32),
        )
        MODELS.build({key: v for key, v in {**config, **changes}.items() if v != "gone"})

    return call


def infer(image, panoptic=False):
    """`inference_model` on what `image()` makes."""

    def call():
        from mmseg.apis import inference_model, init_model

        name = "pan" if panoptic else "own"
        model = init_model(f"{name}.py", f"{name}.pth", device="cpu")
        result = inference_model(model, image())
        for one in result if isinstance(result, list) else [result]:
            shape = one.pred_sem_seg.data.shape
            print("labels", tuple(shape))

    return call


HEADS = [
    ("good", {}, "ok"),
    ("good", dict(isthing=[True, False, True]), "ok"),
    ("good", dict(num_classes=1), "ok"),
    ("bad value", dict(num_classes=0), "num_classes"),
    ("bad type", dict(num_classes="3"), "num_classes"),
    ("bad type", dict(num_classes=None), "num_classes"),
    ("missing", dict(num_classes="gone"), "num_classes"),
    ("missing", dict(in_channels="gone"), "in_channels"),
    ("bad type", dict(in_channels=8), "in_channels"),
    ("bad value", dict(in_channels=[]), "in_channels"),
    ("bad value", dict(in_channels=[8, 16, -1, 64]), "in_channels|-1"),
    ("good", dict(in_index=[0, 1, 2, 9]), "ok"),
    ("contradictory", dict(in_index=[0, 1]), "in_index"),
    ("bad value", dict(num_queries=0), "num_queries"),
    ("bad type", dict(num_queries=2.5), "num_queries"),
    ("bad value", dict(channels=0), "channels"),
    ("bad value", dict(channels=31), "channels|31"),
    ("bad value", dict(num_querys=5), "num_querys"),
    ("bad value", dict(ignore_index=2), "ok|ignore_index"),
    ("bad type", dict(ignore_index="none"), "ignore_index"),
    ("bad value", dict(align_corners=True), "align_corners"),
    ("contradictory", dict(isthing=[True]), "isthing"),
    ("bad value", dict(isthing="mmmaskformer.NoDataset"), "isthing"),
    ("bad type", dict(isthing=3), "isthing"),
    ("bad type", dict(isthing=["yes", "no", "no"]), "isthing"),
    ("bad type", dict(transformer_decoder=3), "TransformerDecoder must be a dict, got 3"),
    ("bad value", dict(transformer_decoder=dict(num_layers=0)), "num_layers"),
    ("bad value", dict(transformer_decoder=dict(num_layer=1)), "num_layer"),
    ("bad value", dict(transformer_decoder=dict(dropout=-1)), "dropout"),
    ("bad value", dict(pixel_decoder=dict(type="PixelDecoderX")), "PixelDecoderX"),
    ("bad value", dict(loss_cls=dict(no_object_weight=-1)), "no_object_weight"),
    ("bad value", dict(loss_mask=dict(type="FocalLos")), "FocalLos"),
    ("bad value", dict(loss_mask=dict(loss_weight=float("nan"))), "loss_weight"),
    ("contradictory", dict(panoptic_fusion=dict(object_threshold=0.5)), "isthing"),
    ("bad value", dict(isthing=[True] * 3, panoptic_fusion=dict(object_threshold=2)), "object_thr"),
    ("bad value", dict(fusion=dict(type="Nothing")), "Nothing"),
    ("bad value", dict(type="mmmaskformer.MaskFormerHad"), "MaskFormerHad"),
]
PHOTO = np.zeros((64, 64, 3), np.uint8)
IMAGES = [
    ("good", "a path", lambda: "own/images/val/000.jpg", r"ok: labels \(1, 64, 64\)"),
    ("good", "an array", lambda: PHOTO, r"ok: labels \(1, 64, 64\)"),
    (
        "good",
        "two paths",
        lambda: ["own/images/val/000.jpg", "own/images/val/001.jpg"],
        "ok: labels",
    ),
    ("missing", "no such file", lambda: "none.jpg", "none.jpg"),
    ("unreadable", "no image", lambda: "own.py", "own.py"),
    ("bad type", "a folder", lambda: "own", "own"),
    ("bad type", "None", lambda: None, "image|None"),
    ("bad type", "a number", lambda: 3, "image|int"),
    ("bad value", "an empty list", list, "ok|image|empty"),
    ("bad value", "no pixels", lambda: PHOTO[:0], "image|shape|0"),
    ("bad type", "5 channels", lambda: np.zeros((64, 64, 5), np.uint8), "channel|image"),
    ("bad type", "a float array in 0..1", lambda: PHOTO / 255.0, "ok|float|image"),
    ("bad type", "16 bits", lambda: PHOTO.astype(np.uint16), "ok|16|image"),
    ("good", "a grey array", lambda: PHOTO[..., 0], "ok|channel|image"),
    ("good", "with alpha", lambda: np.zeros((64, 64, 4), np.uint8), "ok|channel|image"),
]


def title(changes):
    return "head: " + (", ".join(f"{k}={v!r}" for k, v in changes.items()) or "as it should be")


ROWS = [
    Row("python", kind, "", words, call=build(**changes), name=title(changes))
    for kind, changes, words in HEADS
]
ROWS += [
    Row("python", kind, "", words, call=infer(image), name=f"inference: {what}")
    for kind, what, image, words in IMAGES
]
