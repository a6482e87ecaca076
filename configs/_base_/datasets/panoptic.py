# What all panoptic datasets share.
_base_ = ["./semantic.py"]
# A map of segments is 0 where no segment is: `void` there, `ignore_index` in maps of classes.
void = 0
load_segments = dict(type="mmmaskformer.LoadPanopticAnnotations")
load_segments_and_ids = dict(load_segments, with_ids=True)
pack = dict(type="mmmaskformer.PackPanopticInputs", ignore_index=_base_.ignore_index)
test_resize = dict(type="Resize", scale=(2560, 640), keep_ratio=True, backend="pillow")
test_pipeline = [_base_.load_image, test_resize, load_segments_and_ids, pack]
# The views after their sizes. Not the paper's, which has no panoptic test-time augmentation.
views_of_a_size = [_base_.unflipped_and_flipped, [load_segments_and_ids], [pack]]
val_evaluator = test_evaluator = [
    dict(type="mmmaskformer.PanopticQualityMetric"),
    dict(type="mmmaskformer.IoUMetric", ignore_index=_base_.ignore_index),
]
