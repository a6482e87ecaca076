"""Checkpoints, for every tool that reads them."""

import pickle

from tests.bad_inputs.row import Row
from tests.bad_inputs.tables.changes import cut, every, fifo, flip, folder, remove, text, weights

FILE = "own.pth"


CODE = "__import__('pathlib').Path('PWNED').touch()"
"""Makes the file that `running.py` looks for."""


class Evil:
    def __reduce__(self):
        return eval, (CODE,)


def poisoned(content):
    import torch

    content["state_dict"] = {
        name: torch.full_like(t, float("nan")) if t.is_floating_point() else t
        for name, t in content["state_dict"].items()
    }


def cases(file):
    """Name -> kind, change of the file, words."""
    return {
        "none": ("missing", remove(file), file),
        "a folder": ("bad type", folder(file), file),
        "empty": ("unreadable", text(file, ""), file),
        "html": ("unreadable", text(file, "<html>404</html>"), file),
        "half": ("unreadable", cut(file), file),
        "cut at the end": ("unreadable", cut(file, 0.99), file),
        "a flipped bit": ("unreadable", flip(file), file),
        "a fifo": ("hostile", fifo(file), file),
        "a list": ("bad type", weights(file, lambda c: [1, 2]), file),
        "a number": ("bad type", weights(file, lambda c: 3), file),
        "an empty dict": ("bad value", weights(file, lambda c: {}), file),
        "no weights": ("missing", weights(file, lambda c: dict(c, state_dict={})), file),
        "weights of text": ("bad type", weights(file, lambda c: dict(c, state_dict="x")), file),
        "a weight of text": (
            "bad type",
            weights(file, lambda c: c["state_dict"].update({"backbone.conv1.weight": "x"})),
            f"backbone.conv1.weight|{file}",
        ),
        "nan": ("bad value", weights(file, poisoned), "finite|nan|changed since"),
        "a weight is missing": (
            "missing",
            weights(
                file,
                lambda c: c["state_dict"].pop("backbone.layer1.0.conv1.weight") is None or None,
            ),
            file,
        ),
        "of another model": (
            "contradictory",
            weights(
                file,
                lambda c: {"state_dict": {"encoder.x": c["state_dict"].popitem()[1]}, "meta": {}},
            ),
            file,
        ),
        "code in the pickle": (
            "hostile",
            text(file, pickle.dumps({"state_dict": Evil()})),
            file,
        ),
        "code in a torch file": (
            "hostile",
            weights(file, lambda c: dict(c, state_dict=Evil())),
            file,
        ),
        "20 GB declared": (
            "hostile",
            text(file, b"\x80\x05\x96" + (20 << 30).to_bytes(8, "little")),
            file,
        ),
        "a million lists": (
            "hostile",
            text(file, b"\x80\x04" + b"]" * 1000000 + b"a" * 999999 + b"."),
            file,
        ),
    }


ROWS = [
    Row(tool, kind, arguments, words, change, name=f"{how} of a checkpoint: {title}")
    for tool, how, file, arguments in (
        ("test", "test", FILE, "own.py own.pth --work-dir runs/a"),
        ("train", "resume", FILE, "own.py --resume own.pth --work-dir runs/a"),
        ("train", "load_from", FILE, "own.py --work-dir runs/a --cfg-options load_from=own.pth"),
        ("visualize_queries", "drawing", FILE, "--model own.py own.pth --device cpu"),
        ("convert_weights", "conversion", "small.pth", "small.pth new.pth"),
    )
    for title, (kind, change, words) in list(cases(file).items())[:: 2 if how == "load_from" else 1]
    if not (title == "nan" and tool in ("train", "visualize_queries"))
    if not (title == "a flipped bit" and tool != "test")  # others' files have no checksum
]
META = {
    "weights without meta": (
        "missing",
        weights(FILE, lambda c: {"state_dict": c["state_dict"]}),
        "own.pth|meta",
    ),
    "meta of a list": ("bad type", weights(FILE, lambda c: dict(c, meta=[1])), "own.pth|meta"),
    "code as config": (
        "hostile",
        weights(FILE, lambda c: c["meta"].update(config=CODE)),
        "ok",
    ),
    "no optimizer": ("missing", weights(FILE, lambda c: c.pop("optimizer") and None), "optimizer"),
    "an optimizer of another model": (
        "contradictory",
        weights(FILE, lambda c: c["optimizer"]["param_groups"].pop() and None),
        "own.pth|optimizer|group",
    ),
    "iterations of text": (
        "bad type",
        weights(FILE, lambda c: c["meta"].update(iter="many")),
        "own.pth|iter",
    ),
}
ROWS += [
    Row(
        "train",
        kind,
        "own.py --resume own.pth --work-dir runs/a --cfg-options train_cfg.max_iters=3",
        words,
        change,
        name=f"resume: {title}",
    )
    for title, (kind, change, words) in META.items()
]
SOME = "own.py --work-dir runs/a --resume --cfg-options train_cfg.max_iters=3"
ROWS += [
    Row("train", "good", SOME, "ok", name="resume in a new folder"),
    Row(
        "train",
        "missing",
        SOME,
        "ok: resum|error",
        name="resume without last_checkpoint",
        change=every(
            folder("runs/a"), lambda root: (root / FILE).rename(root / "runs/a/iter_2.pth")
        ),
    ),
    Row(
        "train",
        "bad value",
        SOME,
        "ok: resum",
        name="resume with an empty last_checkpoint",
        change=text("runs/a/last_checkpoint", ""),
    ),
    Row(
        "train",
        "missing",
        SOME,
        "ok: resum",
        name="resume from one that is gone",
        change=text("runs/a/last_checkpoint", "runs/a/gone.pth"),
    ),
    Row("train", "missing", "own.py --resume none.pth --work-dir runs/a", "none.pth"),
    Row(
        "test",
        "contradictory",
        "pan.py own.pth --work-dir runs/a",
        "ok: own.pth was trained on data without things",
    ),
    Row("test", "bad type", "own.py released.pkl --work-dir runs/a", "convert"),
    Row("test", "missing", "own.py https://127.0.0.1:9/x.pth --work-dir runs/a", "127.0.0.1"),
]

NEW = "small.pth new.pth"
CONVERSION = [
    Row("convert_weights", "good", "released.pkl new.pth", "ok: 10 classes, 20 queries"),
    Row("convert_weights", "good", f"{NEW} --dataset shapes", "ok: class names: shapes"),
    Row("convert_weights", "good", f"{NEW} --num-classes 10", "ok"),
    Row("convert_weights", "bad value", f"{NEW} --num-classes 19", "10 classes.*19"),
    Row("convert_weights", "bad type", f"{NEW} --num-classes ten", "num-classes"),
    Row("convert_weights", "contradictory", f"{NEW} --dataset cityscapes", "19 classes.*10"),
    Row("convert_weights", "bad value", f"{NEW} --dataset imagenet", "imagenet"),
    Row("convert_weights", "contradictory", f"{NEW} --config own.py", "own.py builds"),
    Row("convert_weights", "missing", f"{NEW} --config none.py", "none.py"),
    Row("convert_weights", "missing", "none.pkl new.pth", "none.pkl"),
    Row("convert_weights", "missing", "small.pth", "dst"),
    Row("convert_weights", "bad type", "own new.pth", "own"),
    Row("convert_weights", "bad value", "small.pth own", "own"),
    Row("convert_weights", "contradictory", "small.pth small.pth", "small.pth is SRC itself"),
    Row("convert_weights", "bad value", "small.pth ''", "file's name"),
    Row("convert_weights", "bad value", "small.pth own.py/new.pth", "own.py"),
    Row("convert_weights", "bad value", "small.pth /dev/full/x", "/dev/full"),
    Row("convert_weights", "bad value", f"small.pth {'x' * 300}.pth", "x"),
    *(
        Row(
            "convert_weights",
            "good",
            "w.pth new.pth",
            "ok: 10 classes",
            name=f"wrapped as {prefix}",
            change=lambda root, prefix=prefix: (
                weights(
                    "w.pth",
                    lambda c: {"state_dict": {prefix + k: v for k, v in c["state_dict"].items()}},
                )(root)
                if (root / "w.pth").symlink_to((root / "small.pth").resolve()) is None
                else None
            ),
        )
        for prefix in ("module.", "model.", "net.", "_orig_mod.", "model._orig_mod.module.")
    ),
]
ROWS += CONVERSION
