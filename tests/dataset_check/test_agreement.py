"""Whether a config agrees with itself in all its places."""

from mmengine.registry import init_default_scope
from mmseg.utils import register_all_modules

from mmmaskformer.dataset_check import agreement
from mmmaskformer.dataset_check.settings import Labels, reading_of, transforms_of


def test_void_of_panoptic_maps_is_zero():
    register_all_modules(init_default_scope=False)
    init_default_scope("mmseg")
    labels = Labels(3, 255, "model.decode_head")
    pipeline = [
        dict(type="mmmaskformer.LoadImageFromFile"),
        dict(type="mmmaskformer.LoadPanopticAnnotations"),
        dict(type="RandomCrop", crop_size=(4, 4), cat_max_ratio=0.75),
        dict(type="Pad", size=(4, 4)),
        dict(type="Pad", size=(4, 4), pad_val=dict(seg=256)),
        dict(type="mmmaskformer.PackPanopticInputs", ignore_index=7),
    ]
    reading = reading_of(pipeline, labels)
    found = agreement.check_pipeline("p", pipeline, labels, reading, False)
    assert found.errors == [
        "p.Pad.pad_val.seg is 256, but void of panoptic maps is below 256: set it to 0",
        "p.PackPanopticInputs.ignore_index is 7, but model.decode_head.ignore_index is 255: set "
        "p.PackPanopticInputs.ignore_index=255",
    ]
    assert found.warnings == [
        "p.RandomCrop.ignore_index is 255, but void of panoptic maps is 0: set "
        "p.RandomCrop.ignore_index=0"
    ]


def test_transforms_in_others_are_read_but_those_of_albu():
    """What Albu applies is albumentations', which no registry of ours knows."""
    inner = dict(type="RandomRotate", seg_pad_val=0)
    pipeline = [
        dict(type="RandomApply", transforms=[inner]),
        dict(type="Albu", transforms=[dict(type="Blur")]),
        dict(type="mmdet.Albu", transforms=[dict(type="Blur")]),
        dict(type="TestTimeAug", transforms=[[inner], [dict(type="Pad")]]),
    ]
    types = [step["type"] for step in transforms_of(pipeline)]
    assert types == [
        *("RandomApply", "RandomRotate", "Albu", "mmdet.Albu"),
        *("TestTimeAug", "RandomRotate", "Pad"),
    ]


def test_an_ignored_label_beside_the_classes_is_no_class():
    for ignored, lines in ((0, 1), (2, 1), (3, 0), (255, 0)):
        found = agreement.check_heads({}, Labels(3, ignored, "model.decode_head"), {})
        assert found.errors == []
        assert len(found.warnings) == lines


def test_things_of_the_head_and_of_the_dataset_differ_either_way():
    head = dict(num_classes=3, isthing=[True, False, True])
    (line,) = agreement.check_things("h", head, {"val": {"isthing": [False, True, True]}})
    assert line == "h.isthing differs from the val dataset's in classes 0, 1"
