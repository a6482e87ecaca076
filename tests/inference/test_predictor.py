"""The predictor against the test pipeline of mmengine's runner, image by image."""

import re

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from mmmaskformer import Predictor, load
from mmmaskformer.inference import pipelines
from mmmaskformer.inference.predictor import padded_size
from mmmaskformer.zoo import config_file
from tests.commands import python
from tests.inference.models import PANOPTIC, SEMANTIC, UPERNET


def make(checkpoints, name=PANOPTIC, **options):
    return Predictor(name, checkpoints[name], device="cpu", **options)


@pytest.fixture(scope="module")
def panoptic(checkpoints):
    return make(checkpoints)


@pytest.fixture
def paths(photographs):
    return sorted(map(str, photographs.iterdir()))


def answer_of_a_test_run(checkpoints, name, path, tta):
    """The sample that a runner's test gives."""
    init_default_scope("mmseg")
    model = load(name, checkpoints[name], "cpu")
    cfg = model.cfg
    steps = cfg.tta_pipeline if tta else cfg.test_dataloader.dataset.pipeline
    packed = Compose(steps)(dict(img_path=path, seg_fields=[], reduce_zero_label=False))
    if tta:
        model = MODELS.build({**cfg.tta_model, "module": model})
    with torch.no_grad():
        return model.test_step(pseudo_collate([packed]))[0]


@pytest.mark.parametrize("tta", [False, True])
@pytest.mark.parametrize("name", [SEMANTIC, UPERNET])
def test_labels_are_those_of_a_test_run(checkpoints, paths, name, tta):
    prediction = make(checkpoints, name, tta=tta)(paths[0])
    expected = answer_of_a_test_run(checkpoints, name, paths[0], tta).pred_sem_seg.data[0].numpy()
    assert prediction.semantic.shape == (100, 120)
    assert np.array_equal(prediction.semantic, expected)
    assert len(prediction.views) == (0 if name == UPERNET else 6 if tta else 1)
    assert len(np.unique(expected)) > 1
    assert prediction.task == "semantic"


def test_segments_are_those_of_a_test_run(checkpoints, paths):
    limits = dict(object_threshold=0.05, overlap_threshold=0.0)
    prediction = make(checkpoints, **limits)(paths[1])
    init_default_scope("mmseg")
    model = load(PANOPTIC, checkpoints[PANOPTIC], "cpu")
    vars(model.decode_head.panoptic_fusion).update(limits)
    kept = [s for s in model.cfg.test_dataloader.dataset.pipeline if "Panoptic" not in s.type]
    packed = Compose([*kept, dict(type="PackSegInputs")])(dict(img_path=paths[1]))
    with torch.no_grad():
        expected = model.test_step(pseudo_collate([packed]))[0].pred_panoptic_seg
    assert len(expected.segments_info) > 1
    assert np.array_equal(prediction.panoptic.ids, expected.ids.numpy())
    for ours, theirs in zip(prediction.panoptic.segments, expected.segments_info, strict=True):
        assert {**ours, **theirs} == ours
    assert prediction.task == "panoptic"
    assert prediction.thresholds == limits


@pytest.mark.parametrize("name", [PANOPTIC, UPERNET])
def test_a_batch_gives_what_single_images_give(checkpoints, paths, name):
    """Images of sizes that the network sees alike share a run, others do not."""
    single, batched = make(checkpoints, name), make(checkpoints, name, batch_size=4)
    runs = []
    run = batched._run
    batched._run = lambda packed: runs.append(len(packed)) or run(packed)
    images = [*paths, paths[0]]
    found = list(batched(images))
    assert [prediction.name for prediction in found] == images
    # 100x120, 128x128 and 97x121 are padded to 128x128 by ours; mmseg's model takes no padding.
    assert runs == ([3, 1, 1] if name == PANOPTIC else [1, 1, 1, 1, 1])
    for prediction, path in zip(found, images, strict=True):
        alone = single(path)
        assert prediction.size == alone.size
        for ours, theirs in zip(prediction.views, alone.views, strict=True):
            assert ours.content_size == theirs.content_size
            assert torch.allclose(ours.class_prob, theirs.class_prob, atol=1e-5)
            scale = theirs.mask_logits.abs().max()
            assert (ours.mask_logits - theirs.mask_logits).abs().max() < 1e-5 * scale
        assert (prediction.semantic == alone.semantic).mean() > 0.999


def test_a_model_that_slides_a_window_gives_labels(checkpoints, paths, tmp_path):
    config = tmp_path / "sliding.py"
    config.write_text(
        f"_base_ = [{str(config_file(SEMANTIC))!r}]\n"
        "model = dict(test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32)))\n"
    )
    prediction = Predictor(config, checkpoints[SEMANTIC], device="cpu")(paths[0])
    expected = answer_of_a_test_run({config: checkpoints[SEMANTIC]}, config, paths[0], False)
    assert np.array_equal(prediction.semantic, expected.pred_sem_seg.data[0].numpy())
    assert len(np.unique(prediction.semantic)) > 1
    assert prediction.views == []
    with pytest.raises(ValueError, match=r"tta needs test_cfg\.mode 'whole'"):
        Predictor(config, checkpoints[SEMANTIC], device="cpu", tta=True)


def test_padded_sizes_are_those_of_the_preprocessor(panoptic):
    preprocessor = panoptic.model.data_preprocessor
    for shape in ((100, 120), (128, 128), (129, 1), (64, 96)):
        image = torch.zeros(3, *shape, dtype=torch.uint8)
        inputs = preprocessor({"inputs": [image]})["inputs"]
        assert padded_size(preprocessor, shape) == tuple(inputs.shape[-2:])
    size, preprocessor.test_cfg = preprocessor.test_cfg, dict(size=(100, 130))
    try:
        for shape in ((64, 64), (120, 131)):
            image = torch.zeros(3, *shape, dtype=torch.uint8)
            inputs = preprocessor({"inputs": [image]})["inputs"]
            assert padded_size(preprocessor, shape) == tuple(inputs.shape[-2:])
    finally:
        preprocessor.test_cfg = size


@pytest.mark.parametrize("backend", ["pillow", "cv2"])
def test_an_image_that_is_too_narrow_is_skipped(checkpoints, paths, capsys, backend):
    """Resizing leaves no row of it; the images beside it are predicted."""
    predictor = make(checkpoints, batch_size=3)
    resize = dict(type="Resize", scale=(133, 80), keep_ratio=True, backend=backend)
    init_default_scope("mmseg")
    predictor.pipeline = Compose([resize, dict(type="PackSegInputs")])
    line = np.zeros((1, 30_000, 3), np.uint8)
    text = "image array 0 has 30000x1 pixels (width x height), and nothing is left of it after "
    assert [found.name for found in predictor([paths[0], line, paths[1]])] == paths[:2]
    (told,) = predictor.skipped
    assert told.startswith(text)
    assert told.endswith("wanted one that is less narrow")
    assert f"skipped: {told}" in capsys.readouterr().err
    predictor.strict = True
    for source in (line, [line]):
        with pytest.raises(ValueError, match=re.escape(text)):
            list(predictor(source))


def test_faults_of_a_pipeline_are_no_mistakes_of_the_user(checkpoints, paths):
    def fail(_):
        raise ZeroDivisionError("a fault")

    predictor = make(checkpoints)
    predictor.pipeline = fail
    with pytest.raises(ZeroDivisionError, match="a fault"):
        list(predictor([paths[0]]))


def test_one_class_may_be_named_without_a_list(checkpoints, paths):
    predictor = make(checkpoints, classes="sky")
    assert predictor.classes == ("sky",)
    assert {one["category_id"] for one in predictor(paths[0]).panoptic.segments} <= {5}


def test_all_kinds_of_one_image_agree(panoptic, paths):
    picture = Image.open(paths[0])
    rgb = np.asarray(picture)
    expected = panoptic(paths[0]).semantic
    assert len(np.unique(expected)) > 1
    tensor = torch.from_numpy(rgb.copy()).permute(2, 0, 1)
    for image in (picture, rgb[..., ::-1], tensor, tensor / 255):
        assert np.array_equal(panoptic(image).semantic, expected)
    assert not np.array_equal(panoptic(rgb).semantic, expected)  # the order matters


def test_several_images_come_one_after_another(panoptic, paths):
    asked = []

    def generator():
        for path in paths:
            asked.append(path)
            yield path

    stream = panoptic(generator())
    assert asked == []
    assert next(stream).name == paths[0]
    assert asked == paths[:1]
    assert [prediction.name for prediction in stream] == paths[1:]


def test_bad_files_are_skipped_and_counted(checkpoints, panoptic, paths, tmp_path, capsys):
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    stream = panoptic([paths[0], bad, paths[2], "missing.png"])
    assert [prediction.name for prediction in stream] == [paths[0], paths[2]]
    output = capsys.readouterr()
    lines = output.err.splitlines()
    assert output.out == ""
    assert lines[0].startswith(f"skipped: image {bad} can not be read")
    assert lines[1:] == ["skipped: missing.png does not exist", "2 skipped, 2 predicted"]
    assert [line.split(" ")[0] for line in panoptic.skipped] == ["image", "missing.png"]
    list(panoptic(paths[:1]))
    assert panoptic.skipped == []
    with pytest.raises(ValueError, match=r"bad\.png can not be read"):
        panoptic(bad)
    with pytest.raises(ValueError, match=r"bad\.png can not be read"):
        list(make(checkpoints, strict=True)([paths[0], bad]))


def test_a_bar_is_shown_when_asked_for(checkpoints, paths, capsys):
    assert len(list(make(checkpoints, progress=True)(paths))) == 4
    assert "predicting" in re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().err)
    list(make(checkpoints)(paths))
    assert capsys.readouterr().err == ""


def test_the_size_is_that_of_the_short_edge(checkpoints, panoptic, paths):
    prediction = make(checkpoints, size=50)(paths[0])
    assert prediction.views[0].content_size == (50, 60)
    assert prediction.semantic.shape == (100, 120)
    (view,) = panoptic(paths[0]).views
    assert view.content_size == (100, 120)
    step = dict(type="Resize", scale=(1333, 800), keep_ratio=True, backend="pillow")
    assert pipelines.resized([dict(step)], 400)[0]["scale"] == (666, 400)
    for bad in (0, 1.5, True):
        with pytest.raises(ValueError, match="size must be a whole number of pixels"):
            pipelines.image_pipeline(panoptic.model.cfg, bad)
    with pytest.raises(ValueError, match="does not resize by the short edge"):
        pipelines.resized([dict(step, keep_ratio=False)], 400)
    with pytest.raises(ValueError, match="size=50 does not go with tta"):
        pipelines.image_pipeline(panoptic.model.cfg, 50, tta=True)


def test_half_precision_is_near(checkpoints, panoptic, paths):
    prediction, exact = make(checkpoints, half=True)(paths[0]), panoptic(paths[0])
    (view,), (other,) = prediction.views, exact.views
    assert view.class_prob.dtype == torch.float32
    assert not torch.equal(view.mask_logits, other.mask_logits)
    assert (prediction.semantic == exact.semantic).mean() > 0.8


def test_classes_and_tasks(checkpoints, paths):
    limits = dict(object_threshold=0.05, overlap_threshold=0.0)
    every = make(checkpoints, **limits)(paths[1])
    names = list(every.meta["classes"])
    label = int(np.bincount(every.semantic.ravel()).argmax())
    chosen = make(checkpoints, classes=[names[label]], task="semantic", **limits)(paths[1])
    kept = every.semantic == label
    assert 0 < kept.sum() < kept.size
    assert np.array_equal(chosen.semantic, np.where(kept, label, 255))
    assert {segment["category_id"] for segment in chosen.panoptic.segments} <= {label}
    assert chosen.task == "semantic"
    assert make(checkpoints, task="instance")(paths[1]).task == "instance"


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        (UPERNET, dict(task="panoptic"), "task must be one of semantic for this model, got 'pan"),
        (PANOPTIC, dict(task="depth"), "one of panoptic, semantic, instance for this model"),
        (PANOPTIC, dict(classes=["circel"]), "no class 'circel'; wanted names such as circle"),
        (PANOPTIC, dict(object_threshold=1.5), "object_threshold must be .* got 1.5"),
        (PANOPTIC, dict(overlap_threshold=-1), "overlap_threshold must be .* got -1"),
        (PANOPTIC, dict(batch_size=0), "batch_size must be .* got 0"),
        (PANOPTIC, dict(channel_order="hsv"), "channel_order must be"),
        (PANOPTIC, dict(device="tpu:7"), "device 'tpu:7' can not be used"),
    ],
)
def test_options_that_are_wrong(checkpoints, name, options, text):
    options = {"device": "cpu", **options}
    with pytest.raises(ValueError, match=text):
        Predictor(name, checkpoints[name], **options)


def test_a_config_without_a_pipeline_of_views(panoptic):
    cfg = panoptic.model.cfg.copy()
    cfg.tta_pipeline = None
    with pytest.raises(ValueError, match="tta needs tta_pipeline in"):
        pipelines.image_pipeline(cfg, tta=True)


def test_frames_of_a_video_are_predicted(panoptic, film):
    found = list(panoptic(film))
    assert len(found) == 12
    assert found[3].name == f"{film} frame 3"
    assert found[3].semantic.shape == (48, 64)


def test_a_published_checkpoint_predicts_the_same(checkpoints, paths, tmp_path):
    content = torch.load(checkpoints[SEMANTIC], weights_only=False)
    for weight in content["state_dict"].values():
        if weight.is_floating_point():
            weight.copy_(weight.half())  # so that publishing loses nothing
    content.pop("checksum", None)
    torch.save(content, tmp_path / "trained.pth")
    python("tools/publish_model.py", tmp_path / "trained.pth", tmp_path / "small")
    (small,) = tmp_path.glob("small-*.pth")
    assert small.stat().st_size < 0.6 * (tmp_path / "trained.pth").stat().st_size
    found, wanted = (
        Predictor(SEMANTIC, path, device="cpu")(paths[0]).semantic
        for path in (small, tmp_path / "trained.pth")
    )
    assert np.array_equal(found, wanted)
