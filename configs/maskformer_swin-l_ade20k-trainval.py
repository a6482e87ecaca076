# Table I: trained on both labelled splits; `tools/test.py ... --aug-test --out DIR` writes the
# label maps of the test split for the evaluation server.
_base_ = ["./maskformer_swin-l_ade20k.py"]
train = _base_.train_dataloader.dataset
prefix = dict(img_path="images/validation", seg_map_path="annotations/validation")
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type="ConcatDataset", datasets=[train, dict(train, data_prefix=prefix)]
    )
)
test_dataloader = dict(
    dataset=dict(
        data_root="data/ade/release_test", data_prefix=dict(img_path="testing", seg_map_path=None)
    )
)
test_evaluator = dict(
    _delete_=True,
    type="mmmaskformer.SceneParsingMetric",
    format_only=True,
    output_dir="work_dirs/ade20k_test",
)
