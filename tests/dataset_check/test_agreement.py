"""Whether a config agrees with itself in all its places."""

from mmengine.registry import init_default_scope
from mmseg.utils import register_all_modules

from mmmaskformer.dataset_check import agreement
from mmmaskformer.dataset_check.settings import Labels, reading_of


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
