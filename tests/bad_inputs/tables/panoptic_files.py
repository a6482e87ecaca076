"""evaluate_pq.py: two json files and their pngs."""

from dataclasses import replace

from tests.bad_inputs.row import Row
from tests.bad_inputs.tables.changes import cut, edit, image, remove, text
from tests.bad_inputs.tables.data import segments

TRUTH, PREDICTION = "pan/val.json", "predictions/panoptic.json"
FILES = f"--gt_json_file {TRUTH} --pred_json_file {PREDICTION} --workers 1"
COMMAND = f"{FILES} --gt_folder pan/panoptic/val"


def segment(**changes):
    return lambda content: segments(content)[0].update(changes)


def both(how, kind, words, title):
    """A row for the ground truth, and one for the predictions."""
    for name in (TRUTH, PREDICTION):
        yield Row("evaluate_pq", kind, COMMAND, words, edit(name, how), name=f"{name}: {title}")


def either(how, kind, words, title):
    """The same, of what counts officially in the ground truth, so that it is said in a warning."""
    accepted, refused = both(how, kind, words, title)
    yield replace(accepted, wants=f"ok: warning: .*{words}")
    yield refused


ROWS = [
    Row("evaluate_pq", "good", COMMAND, "ok: PQ"),
    Row("evaluate_pq", "good", f"{COMMAND} --out pq.json", "ok: PQ"),
    Row("evaluate_pq", "bad value", f"{COMMAND} --workers 0", "workers"),
    Row("evaluate_pq", "missing", f"{COMMAND} --out none/pq.json", "none/pq.json"),
    Row("evaluate_pq", "contradictory", f"{COMMAND} --out {TRUTH}", "val.json, which is read"),
    Row("evaluate_pq", "contradictory", f"{COMMAND} --out pan/panoptic/val/x.json", "among"),
    Row("evaluate_pq", "missing", FILES, "val/000.png|folder", remove("pan/panoptic/val")),
    Row("evaluate_pq", "missing", f"{FILES} --gt_folder nowhere", "nowhere"),
    Row("evaluate_pq", "missing", "--gt_json_file pan/val.json", "pred_json_file"),
    Row("evaluate_pq", "missing", COMMAND, "val.json", remove(TRUTH), name="no truth"),
    Row(
        "evaluate_pq", "missing", COMMAND, "panoptic.json", remove(PREDICTION), name="no prediction"
    ),
    Row("evaluate_pq", "unreadable", COMMAND, "val.json", cut(TRUTH), name="half a json"),
    Row(
        "evaluate_pq",
        "unreadable",
        COMMAND,
        "val.json",
        text(TRUTH, "[" * 100000),
        name="deep json",
    ),
    Row("evaluate_pq", "unreadable", COMMAND, "val.json", text(TRUTH, b'"\xe9"'), name="latin-1"),
    Row("evaluate_pq", "bad type", COMMAND, "val.json", text(TRUTH, "[]"), name="a list"),
    Row(
        "evaluate_pq",
        "missing",
        COMMAND,
        "000.png",
        remove("predictions/panoptic/000.png"),
        name="no png",
    ),
    Row(
        "evaluate_pq",
        "unreadable",
        COMMAND,
        "000.png",
        cut("predictions/panoptic/000.png"),
        name="half a png",
    ),
    Row(
        "evaluate_pq",
        "bad type",
        COMMAND,
        "000.png",
        name="a grey png",
        change=image("predictions/panoptic/000.png", lambda ids: ids[..., 0]),
    ),
    Row(
        "evaluate_pq",
        "contradictory",
        COMMAND,
        "000.png|size|shape",
        name="a png of another size",
        change=image("predictions/panoptic/000.png", lambda ids: ids[:32]),
    ),
    Row(
        "evaluate_pq",
        "contradictory",
        COMMAND,
        "area",
        edit(TRUTH, segment(area=1)),
        name="a smaller area",
    ),
    Row(
        "evaluate_pq",
        "bad value",
        COMMAND,
        "area",
        edit(TRUTH, segment(area=float("inf"))),
        name="infinite area",
    ),
    Row(
        "evaluate_pq",
        "bad value",
        COMMAND,
        "val.json|annotations",
        edit(TRUTH, lambda c: dict(c, annotations=[])),
        name="no ground truth",
    ),
    *both(segment(id=-1), "bad value", "id", "a negative id"),
    *both(segment(id=True), "bad type", "id", "true as id"),
    *both(segment(id=[1]), "bad type", "id", "a list as id"),
    *both(segment(category_id=99), "bad value", "99", "an unknown category"),
    *both(segment(category_id=None), "bad type", "category_id", "null as category"),
    *both(lambda c: segments(c)[0].pop("id") and None, "missing", "id", "no id"),
    *both(
        lambda c: c["annotations"].append(c["annotations"][0]),
        "contradictory",
        "twice|more than once|image",
        "an image twice",
    ),
    *both(lambda c: segments(c).append(segments(c)[0]), "contradictory", "id", "a segment twice"),
    *either(
        lambda c: segments(c).append(dict(segments(c)[0], id=77)),
        "contradictory",
        "77",
        "a segment more",
    ),
    *either(
        lambda c: segments(c).pop() and None,
        "contradictory",
        "000.png.*not in segments_info",
        "a segment less",
    ),
    *either(lambda c: c["annotations"].pop() and None, "missing", "image_id 1", "an image less"),
    *both(
        lambda c: c["annotations"][0].update(file_name=3), "bad type", "file_name", "file_name of 3"
    ),
    *both(lambda c: c.pop("annotations") and None, "missing", "annotations", "no annotations"),
    Row(
        "evaluate_pq",
        "bad type",
        COMMAND,
        "isthing",
        name="isthing of text",
        change=edit(TRUTH, lambda c: c["categories"][0].update(isthing="no")),
    ),
    Row(
        "evaluate_pq",
        "contradictory",
        COMMAND,
        "categor",
        name="a category twice",
        change=edit(TRUTH, lambda c: c["categories"].append(c["categories"][0])),
    ),
    Row(
        "evaluate_pq",
        "contradictory",
        COMMAND,
        "twice|duplicate|annotations",
        name="a key twice",
        change=lambda root: (root / TRUTH).write_text(
            (root / TRUTH).read_text()[:-1] + ', "annotations": []}'
        ),
    ),
]
